import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces, timeOrder } from '../../../test/support/random-traces.ts';
import { slowMean, slowPercentile } from '../../../test/support/slow-percentile.ts';
import type { Trace, TraceEvent } from '../input/event.ts';
import { type CallKey, type OperationStats, SimpleStackCollector } from './simple-stack.ts';

interface SlowCall {
  readonly type: 'LLM' | 'TOOL';
  readonly name: string;
  readonly startS: number;
  readonly endS: number;
}

/** The call that rows of one UUID are, if they are one. */
function callOf(rows: readonly TraceEvent[], key: CallKey): readonly SlowCall[] {
  const ordered = timeOrder(rows);
  const startS = Math.min(...rows.filter(({ phase }) => phase === 'start').map(({ timeS }) => timeS));
  const endS = Math.max(...rows.filter(({ phase }) => phase === 'end').map(({ timeS }) => timeS));
  if (rows.length < 2 || !Number.isFinite(startS) || !Number.isFinite(endS)) return [];
  // Token events carry no model name.
  const named = ordered.find(({ type, name }) => name !== '' && type !== 'LLM_NEW_TOKEN');
  const call = { type: ordered[0]!.kind as 'LLM' | 'TOOL', name: named?.name ?? '', startS, endS };
  return [key === 'request' && endS < startS ? { ...call, endS: startS } : call];
}

/** UUIDs in order of their code points, which UTF-8 keeps. */
function slowCalls(traces: readonly Trace[], key: CallKey): readonly SlowCall[] {
  const files =
    key === 'file' ? [traces.flatMap(({ events }) => events)] : traces.map(({ events }) => events);
  return files.flatMap((events) => {
    const rows = events.filter(({ kind }) => kind === 'LLM' || kind === 'TOOL');
    const uuids = [...new Set(rows.map(({ uuid }) => uuid))].sort((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
    return uuids.flatMap((uuid) =>
      callOf(
        rows.filter((row) => row.uuid === uuid),
        key,
      ),
    );
  });
}

/** Calls at once when each call starts; what has ended by then is gone. */
function slowMostByRequest(calls: readonly SlowCall[]): number {
  const running = calls.map(
    ({ startS: atS }) =>
      calls.filter(({ startS, endS }) => startS <= atS && (atS < endS || (startS === endS && startS === atS)))
        .length,
  );
  return Math.max(0, ...running);
}

/** Starts less ends up to each start; at one moment the earlier call's come first, its start before its end. */
function slowMostByFile(calls: readonly SlowCall[]): number {
  const running = calls.map(({ startS: atS }, i) => {
    const started = calls.filter(({ startS }, j) => startS < atS || (startS === atS && j <= i)).length;
    const ended = calls.filter(({ endS }, j) => endS < atS || (endS === atS && j < i)).length;
    return started - ended;
  });
  return Math.max(0, ...running);
}

describe.each(['request', 'file'] as const)('the simple stack with one call per UUID and %s', (key) => {
  const slowMost = key === 'request' ? slowMostByRequest : slowMostByFile;

  function slowStats(calls: readonly SlowCall[]): readonly OperationStats[] {
    const operations = new Set(calls.map(({ type, name }) => JSON.stringify([type, name])));
    return [...operations].map((operation): OperationStats => {
      const [type, name] = JSON.parse(operation) as ['LLM' | 'TOOL', string];
      const seconds = calls.flatMap((c) => (c.type === type && c.name === name ? [c.endS - c.startS] : []));
      const most = slowMost(calls.filter((call) => call.name === name));
      return {
        operation_type: type,
        operation_name: name,
        usage_count: seconds.length,
        avg_duration: slowMean(seconds),
        p95_duration: slowPercentile(seconds, 95),
        p99_duration: slowPercentile(seconds, 99),
        max_concurrency: most,
        bottleneck_score: slowMean(seconds) * most,
      };
    });
  }

  test('equals a look at every row for every call', () => {
    const property = fc.property(randomTraces({ maxSpans: 16 }), (traces) => {
      const collector = new SimpleStackCollector(key);
      for (const trace of traces) collector.add(trace);
      const stats = collector.finish();
      const calls = slowCalls(traces, key);
      const keyOf = (s: OperationStats) => `${s.operation_type}:${s.operation_name}`;
      const byBytes = (a: OperationStats, b: OperationStats) =>
        Buffer.compare(Buffer.from(keyOf(a)), Buffer.from(keyOf(b)));
      expectClose(stats, [...slowStats(calls)].sort(byBytes));
      expect(collector.overallMaxConcurrency()).toBe(slowMost(calls));
    });
    fc.assert(property, { numRuns: 400 });
  });
});

test('ties of a file go by the code points of UUIDs, not by their UTF-16 units', () => {
  const collector = new SimpleStackCollector('file');
  const tool = (uuid: string, atS: number) => [
    ['TOOL_START', atS, uuid] as const,
    ['TOOL_END', atS + 1, uuid] as const,
  ];
  collector.add(traceOf(...tool('😀', 0), ...tool('～', 1)));
  collector.finish();
  expect(collector.overallMaxConcurrency()).toBe(2);
});
