import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces, TICK_S } from '../../../test/support/random-traces.ts';
import { slowTimePercentile } from '../../../test/support/slow-percentile.ts';
import { levelsByTick, type SlowSpan, slowLevel, slowSpans } from '../../../test/support/slow-spans.ts';
import type { Trace } from '../input/event.ts';
import { NestedStackCollector, nodeMetrics, type PlacedNode } from './nested-stack.ts';
import type { TreeRule } from './span-tree.ts';

/** A span's place in the tree: from its root down, each ancestor's place among the starts. */
function placeOf(spans: readonly SlowSpan[], i: number): readonly number[] {
  const parent = spans[i]!.parent;
  return parent < 0 ? [i] : [...placeOf(spans, parent), i];
}

function comparePlaces(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? a.length - b.length : at >= b.length ? 1 : a[at]! - b[at]!;
}

/** Time in which no child runs, tick by tick. */
function slowSelf(spans: readonly SlowSpan[], i: number): number {
  const children = spans.filter(({ parent }) => parent === i);
  let selfS = 0;
  for (let atS = spans[i]!.startS; atS < spans[i]!.endS; atS += TICK_S)
    if (slowLevel(children, atS) === 0) selfS += TICK_S;
  return selfS;
}

function slowNodes(traces: readonly Trace[], rule: TreeRule): readonly PlacedNode[] {
  const all = traces.map((trace) => slowSpans(trace, rule, true));
  return traces.flatMap((trace, t) => {
    const spans = all[t]!;
    const places = spans.map((_, i) => placeOf(spans, i));
    const order = [...spans.keys()].sort((a, b) => comparePlaces(places[a]!, places[b]!));
    return order.map((i): PlacedNode => {
      const { start, end, type, name, startS, endS } = spans[i]!;
      const subtree = spans
        .map((_, j) => (places[j]!.includes(i) ? slowSelf(spans, j) : 0))
        .reduce((sum, seconds) => sum + seconds, 0);
      return {
        uuid: start.uuid,
        operation_type: type,
        operation_name: name,
        start_time: startS,
        end_time: endS,
        duration: endS - startS,
        self_time: slowSelf(spans, i),
        subtree_time: subtree,
        concurrency_midpoint: slowLevel(all.flat(), (startS + endS) / 2),
        bottleneck_score: subtree,
        request: trace.index,
        depth: places[i]!.length - 1,
        unfinished: end === undefined,
      };
    });
  });
}

describe.each(['parent-links', 'stack'] as const)('the nested stack by %s', (rule) => {
  function collect(traces: readonly Trace[]) {
    const collector = new NestedStackCollector(rule);
    for (const trace of traces) collector.add(trace);
    return collector.finish();
  }

  test('has the tree, self and subtree times and levels of a reading span by span', () => {
    const property = fc.property(randomTraces(), (traces) => {
      const stack = collect(traces);
      const nodes = Array.from({ length: stack.size }, (_, i) => stack.node(i));
      expectClose(nodes, slowNodes(traces, rule));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('has the segments and percentiles of a count tick by tick', () => {
    const property = fc.property(randomTraces(), (traces) => {
      const { timeline, percentiles } = collect(traces);
      const spans = traces.flatMap((trace) => slowSpans(trace, rule, true));
      const times = [...new Set(spans.flatMap(({ startS, endS }) => [startS, endS]))].sort((a, b) => a - b);
      expect([...timeline.times]).toEqual(times);
      expect([...timeline.levels]).toEqual(times.slice(0, -1).map((atS) => slowLevel(spans, atS)));
      const levels = spans.length === 0 ? [] : levelsByTick(spans);
      for (const p of [50, 90, 95, 99] as const)
        expect(percentiles[`p${p}`]).toBe(slowTimePercentile(levels, p));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('names the nodes of the highest scores, the earlier of equals first', () => {
    const property = fc.property(randomTraces(), fc.integer({ min: 1, max: 6 }), (traces, limit) => {
      const stack = collect(traces);
      const nodes = slowNodes(traces, rule);
      // By stack a UUID keeps its first place but has the values of its last.
      const listed = rule === 'stack' ? [...new Map(nodes.map((node) => [node.uuid, node])).values()] : nodes;
      if (rule === 'stack')
        expectClose(
          [...stack.keyed()].map(([, node]) => node),
          listed,
        );
      const best = [...listed].sort((a, b) => b.bottleneck_score - a.bottleneck_score).slice(0, limit);
      expectClose(stack.top(limit).map(nodeMetrics), best.map(nodeMetrics));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('gives every node a key of its own', () => {
    const property = fc.property(randomTraces(), (traces) => {
      const keyed = [...collect(traces).keyed()];
      expect(new Set(keyed.map(([key]) => key)).size).toBe(keyed.length);
    });
    fc.assert(property, { numRuns: 100 });
  });
});
