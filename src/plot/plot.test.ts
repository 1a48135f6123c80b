import { describe, expect, test } from 'vitest';
import { tickText } from './axes.ts';
import { ganttChart } from './gantt.ts';
import { type Surface, surfaceChart } from './surface.ts';
import { colorAt } from './theme.ts';
import { type XyChart, xyChart } from './xy-chart.ts';

const SCATTER: XyChart = {
  title: 'Prefill <performance>',
  x: { label: 'TTFT (ms)' },
  y: { label: 'tokens/s/GPU' },
  series: [
    { name: 'prefill', draw: 'points', points: [1, 2, 3].map((x) => ({ x, y: 10 * x, label: `TP${x}` })) },
  ],
  rules: [{ axis: 'x', value: 2.5, label: 'target', good: 'below' }],
  marks: [{ x: 2, y: 20, label: 'selected' }],
};

const PEAK: Surface = {
  title: 'ITL',
  xLabel: 'KV',
  yLabel: 'context',
  zLabel: 'ms',
  mesh: meshOf([
    [1, 2, 3],
    [2, Number.NaN, 4],
  ]),
};

function meshOf(heights: readonly (readonly number[])[]): Surface['mesh'] {
  return heights.map((row, j) => row.map((z, i) => ({ x: i / 2, y: 100 * (j + 1), z })));
}

describe('charts', () => {
  test('escape text and hold no number that is not finite', () => {
    for (const svg of [
      xyChart(SCATTER),
      surfaceChart(PEAK),
      ganttChart({ title: 'x', xLabel: 's', spans: [] }),
    ]) {
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(xyChart(SCATTER)).toContain('Prefill &lt;performance&gt;');
  });

  test.each([
    ['no point', []],
    ['one point', [{ x: 5, y: 5 }]],
    ['equal points', [0, 0].map((x) => ({ x, y: 0 }))],
    [
      'a point that is not finite',
      [
        { x: Number.NaN, y: 1 },
        { x: 1, y: 2 },
      ],
    ],
  ])('draw a frame with %s', (_, points) => {
    const svg = xyChart({
      ...SCATTER,
      rules: [],
      marks: [],
      series: [{ name: 's', draw: 'line+points', points }],
    });
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(svg).toContain('TTFT (ms)');
  });

  test('keep captions apart even when points coincide', () => {
    const points = Array.from({ length: 4 }, (_, i) => ({ x: 1, y: 1, label: `same ${i}` }));
    const svg = xyChart({
      ...SCATTER,
      rules: [],
      marks: [],
      series: [{ name: 's', draw: 'points', points }],
    });
    const places = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"[^>]*>same/g)].map(
      ([, x, y]) => `${x},${y}`,
    );
    expect(new Set(places).size).toBe(4);
  });

  test('keep the legend off the data where a side of the frame is free', () => {
    const flat = [1, 2, 4, 8].map((x) => ({ x, y: 2 + x / 100 }));
    const svg = xyChart({
      ...{ title: 't', x: { label: 'x' }, y: { label: 'y' } },
      series: [
        { name: 'measured', points: flat, draw: 'points' },
        { name: 'fitted', points: flat, draw: 'line' },
      ],
      rules: [{ axis: 'y', value: 3, label: 'target' }],
    });
    const [left, top, width, height] =
      /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"[^>]*fill-opacity/
        .exec(svg)!
        .slice(1)
        .map(Number) as [number, number, number, number];
    const dots = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4"[^>]*stroke=/g)];
    expect(dots).toHaveLength(4);
    for (const [, x, y] of dots)
      expect(
        Number(x) > left && Number(x) < left + width && Number(y) > top && Number(y) < top + height,
      ).toBe(false);
  });

  test('leave a hole where the surface is unknown', () => {
    const whole = surfaceChart({
      ...PEAK,
      mesh: meshOf([
        [1, 2, 3],
        [2, 3, 4],
      ]),
    });
    const quads = (svg: string): number => svg.match(/Z" fill=/g)?.length ?? 0;
    expect(quads(whole)).toBe(2);
    expect(quads(surfaceChart(PEAK))).toBe(0);
  });
});

test('a limit is traced where the surface passes it, or said to be beyond', () => {
  const mesh = meshOf([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  const at = (value: number): string => surfaceChart({ ...PEAK, mesh, limit: { value, label: 'Target' } });
  const traces = (svg: string): number => svg.match(/stroke-linecap/g)?.length ?? 0;
  expect([0.5, 1.5, 2.5, 9].map((value) => traces(at(value)))).toEqual([0, 1, 1, 0]);
  expect(at(9)).toContain('Target, above every point');
  expect(at(0.5)).toContain('Target, below every point');
});

test('tick text is short at every scale', () => {
  expect([0, 0.25, 1234, 12_000_000, 1e-7, -5].map(tickText)).toEqual([
    '0',
    '0.25',
    '1,234',
    '12M',
    '100n',
    '−5',
  ]);
});

test('colour maps run from their first to their last stop and clamp', () => {
  expect([
    colorAt('viridis', -1),
    colorAt('viridis', 0),
    colorAt('viridis', 1),
    colorAt('coolWarm', 0.5),
  ]).toEqual(['#440154', '#440154', '#fde725', '#dddddd']);
});
