import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type EngineOptions, engineSettings } from '../engine/engine-settings.ts';
import { fixedTiming, POLYNOMIAL_TIMING } from '../engine/timing.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { type RouterConfig, routerConfig } from '../kv/config.ts';
import { BlockHasher } from '../kv/hash.ts';
import { NaiveIndex } from '../kv/index/naive-index.ts';
import { singleClass } from '../kv/queue/policy-classes.ts';
import { infiniteCacheKve } from './cache-bound.ts';
import { begunShare, findCapacity } from './capacity.ts';
import { compareModes } from './comparison.ts';
import { comparisonTable } from './comparison-table.ts';
import { GapPool } from './gap-pool.ts';
import { estimate } from './interval.ts';
import { gapLatencies, latencyOf } from './latency.ts';
import { requestRow } from './request-row.ts';
import { type ReplaySpec, runReplay } from './run-replay.ts';
import { parseSla, parseSpeeds } from './settings.ts';
import { workloadOf } from './workload.ts';

const mini = workloadOf(
  parseTrace(readFileSync(new URL('../../test/golden/workload/mini.jsonl', import.meta.url), 'utf8')),
);
const parts = { hasher: new BlockHasher(), makeIndex: () => new NaiveIndex() };

function spec(
  changes: Partial<ReplaySpec> & {
    workers?: number;
    speeds?: readonly number[];
    engineOptions?: Partial<EngineOptions>;
    mode?: RouterConfig['mode'];
  },
) {
  const { engineOptions, workers = 3, speeds = [], mode = 'kv', ...rest } = changes;
  return {
    workload: mini,
    engine: engineSettings({ timing: POLYNOMIAL_TIMING, ...engineOptions }),
    topology: { kind: 'aggregated', workers, speeds },
    router: routerConfig({ mode }),
    load: { speedup: 1, maxInFlight: undefined },
    sla: { ttftMs: 500 },
    seed: 1,
    maxSimTimeMs: undefined,
    ...rest,
  } satisfies ReplaySpec;
}

describe('a replay with the KV router', () => {
  test('gives equal bytes for equal specs, and other ones for another seed', async () => {
    const bytes = async (seed: number): Promise<string> => {
      const { report, records } = await runReplay(spec({ seed }), parts);
      return JSON.stringify([report, records.map((record) => requestRow(record, 1))]);
    };
    expect(await bytes(1)).toBe(await bytes(1));
    expect(await bytes(1)).not.toBe(await bytes(2));
  });

  test('finds more in the caches than round robin does', async () => {
    const kve = async (mode: RouterConfig['mode']): Promise<number> =>
      (await runReplay(spec({ mode, workers: 6 }), parts)).report.first_admission_prefix_cache_reused_ratio!;
    expect(await kve('kv')).toBeGreaterThan(1.1 * (await kve('round-robin')));
  });

  test('reaches the infinite-cache bound when requests do not overlap and all go where the prefix is', async () => {
    const slow = spec({ load: { speedup: 0.02, maxInFlight: undefined }, seed: 0 });
    const { report } = await runReplay(slow, parts);
    const bound = infiniteCacheKve(mini, slow.engine, parts.hasher);
    expect(report.first_admission_prefix_cache_reused_ratio).toBeGreaterThan(0.95 * bound);
    expect(report.first_admission_prefix_cache_reused_ratio).toBeLessThanOrEqual(bound);
  });

  test('tells what the router expected, which on an idle fleet is what the engine found', async () => {
    const { records } = await runReplay(
      spec({ load: { speedup: 0.02, maxInFlight: undefined }, seed: 0 }),
      parts,
    );
    for (const record of records) {
      const found = record.admissions[0]!.reusedTokens;
      // A full match is recomputed from its last block on.
      expect([found, found + 64]).toContain(record.routing[0]!.overlapTokens);
    }
  });

  test('holds requests back while all workers are busy, if a queue threshold is set', async () => {
    const queueing = { ...routerConfig({ mode: 'kv' }), queue: singleClass('fcfs', 0.25) };
    const load = { speedup: 8, maxInFlight: undefined };
    const { records, report } = await runReplay(spec({ router: queueing, load, workers: 2 }), parts);
    const outcomes = new Set(records.map(({ routing }) => routing[0]!.outcome));
    expect(outcomes).toEqual(new Set(['immediate', 'queued']));
    expect(report.completed_requests).toBe(120);
  });

  test('feels a slow worker, which only policies that watch load or learn come to avoid', async () => {
    const share = async (mode: RouterConfig['mode'], speeds: readonly number[]) => {
      const { report, records } = await runReplay(spec({ mode, workers: 3, speeds }), parts);
      const slow = records.filter(({ routing }) => routing[0]!.worker === 2).length;
      return { slow: slow / records.length, latency: report.mean_e2e_latency_ms! };
    };
    const even = await share('round-robin', []);
    const uneven = await share('round-robin', [1, 1, 0.3]);
    const learned = await share('thompson', [1, 1, 0.3]);
    expect(uneven.slow).toBeCloseTo(1 / 3, 2);
    expect(uneven.latency).toBeGreaterThan(1.3 * even.latency);
    expect(learned.slow).toBeLessThan(0.25);
    expect(learned.latency).toBeLessThan(uneven.latency);
  });

  test('ends at the time limit with the rest unfinished', async () => {
    const { report } = await runReplay(spec({ maxSimTimeMs: 2000 }), parts);
    expect(report.unfinished_requests).toBeGreaterThan(0);
    expect(report.completed_requests! + report.unfinished_requests!).toBe(report.num_requests);
  });

  test('can split prefill from decode, which keeps prompts out of the way of tokens', async () => {
    const decodeRouter = routerConfig({ mode: 'kv', weights: { decodeOnly: true } });
    const split = { kind: 'disaggregated', prefillWorkers: 2, decodeWorkers: 1, decodeRouter } as const;
    const engineOptions = { transfer: { kvBytesPerToken: 131_072, bandwidthGBps: 64 } };
    const topology = { ...split, handoffLatencyMs: 0 };
    const { report, records } = await runReplay(spec({ topology, engineOptions }), parts);
    const together = (await runReplay(spec({}), parts)).report;
    expect(report.completed_requests).toBe(120);
    expect(report.max_itl_ms).toBeLessThan(together.max_itl_ms! / 2);
    expect(report.prefill_worker_seconds).toBeCloseTo(2 * report.decode_worker_seconds!, 9);
    for (const { handoff, routing } of records) {
      expect(routing.map(({ pool }) => pool)).toEqual(['prefill', 'decode']);
      expect(handoff!.activatedNs).toBeGreaterThan(handoff!.reservedNs!);
      expect(handoff!.releasedNs).toBeGreaterThanOrEqual(handoff!.activatedNs!);
    }
  });

  test('counts rejected requests apart', async () => {
    const { report, records } = await runReplay(spec({ engineOptions: { numGpuBlocks: 60 } }), parts);
    const tooLong = mini.requests.filter(({ inputLength }) => inputLength > 60 * 64).length;
    expect(tooLong).toBeGreaterThan(0);
    expect(report.rejected_requests).toBe(tooLong);
    expect(report.num_requests).toBe(120);
    expect(records.filter(({ status }) => status === 'completed')).toHaveLength(120 - tooLong);
  });
});

describe('the capacity search', () => {
  test('finds the speed-up at which one worker is just busy all the time', async () => {
    // 400 requests, one every 100 ms, of 8 + 2 ms each when they do not overlap.
    const rows = Array.from({ length: 400 }, (_, i) =>
      JSON.stringify({ timestamp: 100 * i, input_length: 64, output_length: 1, hash_ids: [i] }),
    );
    const workload = workloadOf(parseTrace(rows, { format: 'mooncake' }));
    const engineOptions = { timing: fixedTiming(8, 2), maxNumSeqs: 1 };
    const { speedup, probes } = await findCapacity(async (speed) => {
      const load = { speedup: speed, maxInFlight: undefined };
      const one = spec({ workload, engineOptions, load, workers: 1, seed: 0, mode: 'round-robin' });
      return begunShare((await runReplay(one, parts)).records);
    });
    expect(speedup).toBeGreaterThan(9.7);
    expect(speedup).toBeLessThan(10.4);
    expect(probes.filter(({ keptUp }) => keptUp).every((probe) => probe.speedup <= speedup)).toBe(true);
  });

  test('counts a request as begun when its first token came before the last arrival', async () => {
    const { records } = await runReplay(spec({ seed: 0 }), parts);
    expect(begunShare(records)).toBeGreaterThan(0.95);
    expect(begunShare([])).toBe(1);
  });
});

describe('statistics over gaps and seeds', () => {
  test('weigh pooled gaps as if each had been listed', () => {
    const pool = new GapPool();
    const listed: number[] = [];
    for (const [gap, times] of [
      [7e6, 3],
      [1e6, 20_000],
      [0, 5],
      [2 ** 41, 2],
      [1e6, 1],
    ] as const) {
      pool.add(gap, times);
      for (let i = 0; i < times; i++) listed.push(gap / 1e6);
    }
    const { itl, userThroughput } = gapLatencies(pool);
    const expected = latencyOf(listed);
    for (const key of Object.keys(expected) as (keyof typeof expected)[])
      expect(itl[key]).toBeCloseTo(expected[key], 6);
    expect(userThroughput.max).toBe(1000);
    expect(pool.count).toBe(listed.length);
  });

  test('use Student’s t for few seeds', () => {
    const { mean, halfWidth } = estimate([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    expect(halfWidth).toBeCloseTo(2.776 * Math.sqrt(2.5 / 5), 12);
    expect(estimate([4])).toEqual({ mean: 4, halfWidth: undefined });
  });

  test('pair the seeds of a mode with those of the baseline', () => {
    const report = (p95: number) => ({ p95_ttft_ms: p95, completed_requests: 10 });
    const comparison = compareModes([
      { mode: 'kv', reports: [report(50), report(120)] },
      { mode: 'round-robin', reports: [report(100), report(240)] },
    ]);
    expect(comparison.baseline).toBe('round-robin');
    expect(comparison.modes[0]!.ratios!.p95_ttft_ms).toEqual({ mean: 0.5, halfWidth: 0 });
    expect(comparison.modes[1]!.ratios).toBeUndefined();
    expect(comparisonTable(comparison).at(-1)).toBe("kv: TTFT p95 is 0.500 ±0.000 of round-robin's");
  });

  test('tell regret against the mode that was best on average, seed by seed', () => {
    const report = (ms: number) => ({ mean_e2e_latency_ms: ms, late_mean_e2e_latency_ms: ms / 2 });
    const { best, modes } = compareModes([
      { mode: 'kv', reports: [report(100), report(260)] },
      { mode: 'thompson', reports: [report(110), report(230)] },
    ]);
    expect(best).toBe('thompson');
    expect(modes[1]!.regretMs).toBeUndefined();
    expect(modes[0]!.regretMs!.mean).toBe(10);
    expect(modes[0]!.lateRegretMs!.mean).toBe(5);
    expect(modes[0]!.regretMs!.halfWidth).toBeCloseTo((12.706 * Math.sqrt(800)) / Math.SQRT2, 9);
  });

  test('read speeds of workers, one for each', () => {
    expect(parseSpeeds(['1', '0.4'], 2)).toEqual([1, 0.4]);
    expect(parseSpeeds([], 2)).toEqual([]);
    expect(() => parseSpeeds(['1', '0'], 2)).toThrow(/--worker-speed: 0 is not a number above 0/);
    expect(() => parseSpeeds(['1'], 2)).toThrow(/names 1 workers of 2/);
  });

  test('read limits of good requests, and say what is wrong with them', () => {
    expect(parseSla('ttft:2000, tpot:50')).toEqual({ ttftMs: 2000, itlMs: 50 });
    expect(() => parseSla('ttft:fast')).toThrow(/--sla: ttft:fast is not a limit/);
  });
});
