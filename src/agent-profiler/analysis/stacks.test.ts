import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectClose,
  golden,
  goldenTraces,
  rawRow,
  traceOf,
  tracesOf,
} from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import { Column } from './column.ts';
import { ConcurrencySpikes, SpikeCollector } from './concurrency-spikes.ts';
import { NestedStackCollector, nodeMetrics } from './nested-stack.ts';
import { type CallKey, SimpleStackCollector } from './simple-stack.ts';
import type { TreeRule } from './span-tree.ts';

const workflows = ['a', 'b', 'c'] as const;

function nested(traces: readonly Trace[], rule: TreeRule) {
  const collector = new NestedStackCollector(rule);
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

function simple(traces: readonly Trace[], key: CallKey) {
  const collector = new SimpleStackCollector(key);
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

function spikes(traces: readonly Trace[], rule: TreeRule, threshold?: number) {
  const collector = new SpikeCollector(rule);
  for (const trace of traces) collector.add(trace);
  return collector.finish(threshold);
}

function spikeJson(found: ConcurrencySpikes) {
  const intervals = [...found.intervals()].map((i) => ({ ...i, active_uuids: [...i.active_uuids].sort() }));
  return { ...found.summary, spike_intervals: intervals };
}

describe('the simple stack', () => {
  test.each(workflows)('equals the reference on workflow %s', (workflow) => {
    const expected = golden(`${workflow}.workflow_profiling_metrics.json`).simple_stack_analysis;
    const stats = simple(goldenTraces(workflow), 'file');
    expectClose(
      Object.fromEntries(stats.map((s) => [`${s.operation_type}:${s.operation_name}`, s])),
      expected,
    );
  });

  const repeated = [0, 10].map((at) =>
    traceOf(['LLM_START', at, 'same', { name: 'm' }], ['LLM_END', at + 1, 'same', { name: 'm' }]),
  );

  test('keeps calls of two requests apart that carry one UUID', () => {
    expect(simple(repeated, 'request')).toMatchObject([{ usage_count: 2, avg_duration: 1 }]);
  });

  test('merges them where the meaning of the reference is asked for', () => {
    expect(simple(repeated, 'file')).toMatchObject([{ usage_count: 1, avg_duration: 11 }]);
  });

  test('takes the name of the earliest row, though a later one of another request was read before', () => {
    const traces = [
      traceOf(['LLM_START', 2, 'u', { name: 'late' }]),
      traceOf(['LLM_NEW_TOKEN', 1, 'u', { name: 'early' }], ['LLM_END', 1, 'u', { name: 'early' }]),
    ];
    expect(simple(traces, 'file')).toMatchObject([{ operation_name: 'early' }]);
  });

  test('frees a place before the call that starts at the same moment', () => {
    const touching = traceOf(
      ...(['z', 'a'] as const).flatMap((uuid, i) => [
        ['TOOL_START', i, uuid, { name: 't' }] as const,
        ['TOOL_END', i + 1, uuid, { name: 't' }] as const,
      ]),
    );
    expect(simple([touching], 'request')[0]?.max_concurrency).toBe(1);
    expect(simple([touching], 'file')[0]?.max_concurrency).toBe(2);
  });

  test('clamps a duration that runs backwards and counts a call of no length', () => {
    const backwards = traceOf(['TOOL_END', 1, 'u', { name: 't' }], ['TOOL_START', 3, 'u', { name: 't' }]);
    expect(simple([backwards], 'request')).toMatchObject([{ avg_duration: 0, max_concurrency: 1 }]);
  });
});

describe('the nested stack', () => {
  test.each(workflows)('equals the reference on workflow %s when read as a stack', (workflow) => {
    const expected = golden(`${workflow}.workflow_profiling_metrics.json`).nested_stack_analysis;
    const stack = nested(goldenTraces(workflow), 'stack');
    const segments = [...stack.timeline.levels].map((level, i) => [
      stack.timeline.times[i],
      stack.timeline.times[i + 1],
      level,
    ]);
    const actual = {
      concurrency: { timeline_segments: segments, ...stack.percentiles },
      node_metrics: Object.fromEntries([...stack.keyed()].map(([key, node]) => [key, nodeMetrics(node)])),
      top_bottlenecks: stack.top().map(nodeMetrics),
    };
    expectClose(actual, expected);
    expect(Object.keys(actual.node_metrics)).toEqual(Object.keys(expected.node_metrics));
  });

  test('follows parent links where parallel calls would nest in each other', () => {
    for (const [request, nodes] of Object.entries(golden('improved.json').parent_linked_tree)) {
      const trace = goldenTraces(request[0] as 'b')[Number(request[1])]!;
      const stack = nested([trace], 'parent-links');
      const actual = Array.from({ length: stack.size }, (_, i) => stack.node(i));
      const parents: string[] = [];
      const rows = actual.map((node) => {
        parents[node.depth] = node.uuid;
        return {
          ...{ uuid: node.uuid, type: node.operation_type, name: node.operation_name },
          ...{
            parent: node.depth === 0 ? null : parents[node.depth - 1]!,
            start: node.start_time,
            end: node.end_time,
          },
          ...{
            unfinished: node.unfinished,
            duration: node.duration,
            self_time: node.self_time,
            subtree_time: node.subtree_time,
          },
        };
      });
      const byUuid = (a: { uuid: string }, b: { uuid: string }): number => (a.uuid < b.uuid ? -1 : 1);
      expectClose(rows.sort(byUuid), (nodes as { uuid: string }[]).sort(byUuid));
    }
  });

  test('falls back to containment in time where a parent is unknown', () => {
    const trace = traceOf(
      ['FUNCTION_START', 0, 'f', { fn: 'outer', parentId: 'gone' }],
      ['LLM_START', 1, 'l', { name: 'm', parentId: 'lost' }],
      ['LLM_END', 2, 'l', { name: 'm', parentId: 'lost' }],
      ['FUNCTION_END', 3, 'f', { fn: 'outer', parentId: 'gone' }],
    );
    const stack = nested([trace], 'parent-links');
    expect([stack.node(0), stack.node(1)]).toMatchObject([
      { uuid: 'f', depth: 0, self_time: 2 },
      { uuid: 'l', depth: 1 },
    ]);
  });

  test('closes a span at the end of the trace even when its UUID starts again', () => {
    const trace = traceOf(
      ['LLM_START', 0, 'u', { parentId: 'root' }],
      ['LLM_START', 1, 'u', { parentId: 'root' }],
      ['LLM_END', 3, 'u', { parentId: 'root' }],
    );
    const stack = nested([trace], 'parent-links');
    expect([stack.node(0), stack.node(1)]).toMatchObject([
      { start_time: 0, end_time: 3, unfinished: true },
      { start_time: 1, end_time: 3, unfinished: false },
    ]);
  });

  test('by stack ranks a repeated UUID at its first place with its last values', () => {
    const tool = (uuid: string, at: number) => [
      ['TOOL_START', at, uuid] as const,
      ['TOOL_END', at + 1, uuid] as const,
    ];
    const stack = nested([traceOf(...tool('twice', 0), ...tool('once', 2), ...tool('twice', 4))], 'stack');
    expect(stack.top()).toMatchObject([{ uuid: 'twice', start_time: 4 }, { uuid: 'once' }]);
    expect([...stack.keyed()].map(([key]) => key)).toEqual(['twice', 'once']);
  });

  test('survives parents that form a circle', () => {
    const trace = traceOf(
      ['TOOL_START', 0, 'a', { parentId: 'b' }],
      ['TOOL_START', 1, 'b', { parentId: 'a' }],
      ['TOOL_END', 2, 'b', { parentId: 'a' }],
      ['TOOL_END', 3, 'a', { parentId: 'b' }],
    );
    const stack = nested([trace], 'parent-links');
    expect([stack.node(0).depth, stack.node(1).depth]).toEqual([0, 1]);
  });

  test('takes a hundred thousand nested calls without running out of stack', () => {
    const depth = 100_000;
    const rows = Array.from({ length: depth }, (_, i) =>
      rawRow(['TOOL_START', i, `u${i}`, { parentId: i === 0 ? 'root' : `u${i - 1}` }]),
    );
    for (let i = depth - 1; i >= 0; i--) rows.push(rawRow(['TOOL_END', 2 * depth - i, `u${i}`]));
    const [trace] = tracesOf(JSON.stringify([rows]));
    for (const rule of ['parent-links', 'stack'] as const) {
      const stack = nested([trace!], rule);
      expect(stack.node(depth - 1)).toMatchObject({ depth: depth - 1, self_time: 2 });
      expect(stack.node(0).subtree_time).toBe(2 * depth);
    }
  }, 60_000);
});

describe('concurrency spikes', () => {
  test.each(workflows)('equal the reference on workflow %s', (workflow) => {
    const expected = golden(`${workflow}.workflow_profiling_metrics.json`).concurrency_spike_analysis;
    expectClose(spikeJson(spikes(goldenTraces(workflow), 'stack', 2)), expected);
  });

  test('equal the reference at other thresholds', () => {
    const variants = golden('variants.json');
    for (const threshold of [1, 3])
      expectClose(spikeJson(spikes(goldenTraces('b'), 'stack', threshold)), {
        ...variants[`concurrency_spike b, spike_threshold=${threshold}`],
      });
    const chosen =
      variants['concurrency_spike b, spike_threshold=None (function call only): chosen threshold'];
    expect(spikes(goldenTraces('b'), 'stack').summary.spike_threshold).toBe(chosen);
  });

  test('equal a count of every call in every segment', () => {
    const call = fc.record({ start: fc.nat(12), length: fc.nat(6), tokens: fc.nat(3) });
    const property = fc.property(fc.array(call, { maxLength: 14 }), fc.nat(4), (calls, threshold) => {
      const columns = { start: new Column(), end: new Column(), tokens: new Column() };
      for (const { start, length, tokens } of calls) {
        columns.start.push(start);
        columns.end.push(start + length);
        columns.tokens.push(tokens);
      }
      const uuids = calls.map((_, i) => `u${i}`);
      const found = new ConcurrencySpikes(
        uuids,
        columns.start,
        columns.end,
        columns.tokens,
        columns.tokens,
        threshold,
      );
      const times = [...new Set(calls.flatMap(({ start, length }) => [start, start + length]))].sort(
        (a, b) => a - b,
      );
      const slow = times.slice(1).flatMap((end, i) => {
        const start = times[i]!;
        const active = calls.flatMap((c, k) => (c.start + c.length > start && c.start < end ? [k] : []));
        return active.length < threshold ? [] : [{ start, end, active }];
      });
      const actual = [...found.intervals()];
      expect(
        actual.map((i) => [i.start_time, i.end_time, [...i.active_uuids].sort(), i.concurrency]),
      ).toEqual(
        slow.map(({ start, end, active }) => [start, end, active.map((k) => `u${k}`).sort(), active.length]),
      );
      const counted = slow.flatMap(({ active }) => active.map((k) => calls[k]!.tokens).filter((t) => t > 0));
      const average = counted.length === 0 ? 0 : counted.reduce((sum, t) => sum + t, 0) / counted.length;
      expectClose(found.summary.correlation_stats.avg_prompt_tokens, average);
    });
    fc.assert(property, { numRuns: 300 });
  });
});
