import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomTraces } from '../../../test/support/random-traces.ts';
import { NestedStackCollector } from '../analysis/nested-stack.ts';
import { sizeGpus } from '../sizing/gpu-sizing.ts';
import { sizingCharts } from '../sizing/sizing-charts.ts';
import { flame } from './flame.ts';
import { ganttNodes, ganttSvg } from './gantt-svg.ts';

const [WIDTH, HEIGHT] = [900, 400];

/** Every number of every attribute; fails on what is none. */
function numbersOf(svg: string, attribute: string): readonly number[] {
  return [...svg.matchAll(new RegExp(` ${attribute}="([^"]*)"`, 'g'))].map(([, text]) => {
    expect(Number.isFinite(Number(text)), `${attribute}="${text}"`).toBe(true);
    return Number(text);
  });
}

test.each(['parent-links', 'stack'] as const)(
  'bars of any trace, read by %s, lie inside the gantt chart',
  (rule) => {
    const property = fc.property(
      randomTraces({ maxSpans: 30 }),
      fc.integer({ min: 0, max: 40 }),
      (traces, power) => {
        const collector = new NestedStackCollector(rule);
        for (const trace of traces) collector.add(trace);
        const stack = collector.finish();
        // Times from microseconds to ages.
        const scale = 2 ** (power - 20);
        const nodes = ganttNodes(stack).map((node) => ({
          ...node,
          start_time: node.start_time * scale,
          end_time: node.end_time * scale,
        }));
        const svg = ganttSvg(nodes, WIDTH, HEIGHT);
        expect(svg).not.toMatch(/NaN|Infinity|undefined/);
        const bars = svg.match(/<rect [^>]*fill-opacity[^>]*>/g) ?? [];
        expect(bars.length).toBe(nodes.length);
        for (const bar of bars) {
          const [x, y, width, height] = ['x', 'y', 'width', 'height'].map((name) => numbersOf(bar, name)[0]!);
          expect(Math.min(x!, y!, width!, height!)).toBeGreaterThanOrEqual(0);
          expect(x! + width!).toBeLessThanOrEqual(WIDTH);
          expect(y! + height!).toBeLessThanOrEqual(HEIGHT);
        }
        for (const at of [...numbersOf(svg, 'x1'), ...numbersOf(svg, 'x2')])
          expect(at >= 0 && at <= WIDTH).toBe(true);
        expect(svg.match(/<line /g)?.length ?? 0).toBeLessThanOrEqual(12);
      },
    );
    fc.assert(property, { numRuns: 200 });
  },
);

test('frames of the flame view hold what stands on them', () => {
  const property = fc.property(randomTraces({ maxSpans: 30 }), (traces) => {
    const collector = new NestedStackCollector('parent-links');
    for (const trace of traces) collector.add(trace);
    const frames = [flame(collector.finish())];
    for (let at = frames.pop(); at !== undefined; at = frames.pop()) {
      const children = [...at.children.values()];
      const onTopS = children.reduce((sum, { seconds }) => sum + seconds, 0);
      expect(Number.isFinite(at.seconds) && at.selfS >= 0).toBe(true);
      expect(onTopS).toBeLessThanOrEqual(at.seconds + 1e-9);
      frames.push(...children);
    }
  });
  fc.assert(property, { numRuns: 200 });
});

test('charts of any levels have finite paths', () => {
  const seconds = fc.oneof(fc.constant(0), fc.double({ min: 1e-9, max: 1e7, noNaN: true }));
  const levels = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 4096 }), seconds, seconds), {
    selector: ([level]) => level,
    maxLength: 9,
  });
  const property = fc.property(levels, seconds, seconds, (rows, latencyS, runtimeS) => {
    const targets = { llmLatencyP95S: latencyS, workflowRuntimeP95S: runtimeS, users: 100, testGpus: 8 };
    const measured = new Map(
      rows.map(([level, latency, runtime]) => [
        level,
        {
          alerts: { workflow_interrupted: false },
          llm_latency_p95: latency,
          workflow_runtime_p95: runtime,
          total_runtime: runtime,
          per_item_metrics: {},
        },
      ]),
    );
    for (const svg of Object.values(sizingCharts(sizeGpus(measured, targets, false), targets)))
      expect(String(svg)).not.toMatch(/NaN|Infinity|undefined/);
  });
  fc.assert(property, { numRuns: 200 });
});
