import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { xyChart } from '../plot/xy-chart.ts';
import { loadPngRenderer } from './plot-assets.ts';

const CHART = xyChart({
  title: 'Prefill performance',
  x: { label: 'TTFT (ms)' },
  y: { label: 'tokens/s/GPU' },
  series: [
    { name: 'prefill', draw: 'points', points: [1, 2, 3].map((x) => ({ x, y: 10 * x, label: `TP${x}` })) },
  ],
});

test('PNG output shows text and repeats byte for byte', async () => {
  const renderer = await loadPngRenderer();
  const png = renderer.render(CHART);
  expect(Buffer.from(png.subarray(1, 4)).toString()).toBe('PNG');
  const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
  expect(sha((await loadPngRenderer()).render(CHART))).toBe(sha(png));
  // The same chart with its texts removed is a smaller picture: the fonts did draw them.
  const mute = renderer.render(CHART.replace(/<text.*?<\/text>/g, ''));
  expect(mute.length).toBeLessThan(0.7 * png.length);
});
