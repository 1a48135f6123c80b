import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseEngineArgs } from '../engine/engine-args.ts';
import { engineSettings } from '../engine/engine-settings.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { BlockHasher } from '../kv/hash.ts';
import { replayAggregated } from './aggregated-fleet.ts';
import { replayDisaggregated } from './disaggregated-fleet.ts';
import { roundRobin } from './placement.ts';
import { largestReuse, type RequestRecord } from './record.ts';
import { summarizeReplay, ttstOf } from './report.ts';
import { workloadOf } from './workload.ts';

interface GoldenScenario {
  readonly name: string;
  readonly trace_name: string;
  readonly limit?: number;
  readonly trace_block_size: number;
  readonly engine_block_size: number;
  readonly topology: {
    readonly kind: 'aggregated' | 'disaggregated';
    readonly workers?: { readonly initial_workers: number };
    readonly prefill?: { readonly initial_workers: number };
    readonly decode?: { readonly initial_workers: number };
    readonly handoff_latency_ms?: number;
  };
  readonly engine: {
    readonly rank: Record<string, unknown>;
    readonly dp_size?: number;
    readonly tensor_parallel_size?: number;
  };
  readonly sla?: { readonly ttft_ms: number | null; readonly itl_ms: number | null };
  readonly speedup?: number;
  readonly max_in_flight?: number;
  readonly summary: Record<string, number>;
  readonly columns?: string[];
  readonly per_request?: (number | string | null)[][];
}

const golden = new URL('../../test/golden/', import.meta.url);
const shared = `${process.env.KVASIR_SHARED ?? '../shared'}/`;

describe('a replay equals the recorded one', () => {
  const { scenarios } = JSON.parse(readFileSync(new URL('sim/replay-mini.json', golden), 'utf8')) as {
    scenarios: GoldenScenario[];
  };
  for (const scenario of scenarios) {
    test(scenario.name, async () => {
      const text = readFileSync(new URL(`workload/${scenario.trace_name}.jsonl`, golden), 'utf8');
      await compare(scenario, text, 2e-6);
    });
  }
});

const mooncake = `${shared}spec/sim-golden/replay-mooncake.json`;
const traces: Readonly<Record<string, string>> = {
  'mooncake arxiv first 1000': `${shared}data/traces/mooncake-arxiv-first1000.jsonl.gz`,
  conv: `${shared}data/traces/mooncake-conversation.jsonl.gz`,
};

describe.skipIf(!existsSync(mooncake))(
  'a replay of public traces equals the recorded one (skipped without the shared data folder)',
  () => {
    const scenarios = existsSync(mooncake)
      ? (JSON.parse(readFileSync(mooncake, 'utf8')) as { scenarios: GoldenScenario[] }).scenarios
      : [];
    for (const scenario of scenarios) {
      test(scenario.name, { timeout: 120_000 }, async () => {
        const text = gunzipSync(readFileSync(traces[scenario.trace_name]!)).toString();
        await compare(scenario, text, 1e-5);
      });
    }
  },
);

async function compare(scenario: GoldenScenario, text: string, toleranceMs: number): Promise<void> {
  const lines = text.split('\n').slice(0, scenario.limit);
  const trace = parseTrace(lines, { format: 'mooncake', blockSize: scenario.trace_block_size, repair: true });
  const engine = engineSettings({
    ...parseEngineArgs(scenario.engine.rank),
    blockSize: scenario.engine_block_size,
    dpSize: scenario.engine.dp_size ?? 1,
    tensorParallelSize: scenario.engine.tensor_parallel_size ?? 1,
  });
  const { topology, sla } = scenario;
  const workers = topology.workers?.initial_workers ?? topology.decode!.initial_workers;
  const prefillWorkers = topology.prefill?.initial_workers ?? 0;
  const fleet = {
    workload: workloadOf(trace),
    load: { speedup: scenario.speedup ?? 1, maxInFlight: scenario.max_in_flight },
    hasher: new BlockHasher(),
  };
  const role = (count: number) => ({ engine, workers: count, placement: roundRobin(count, engine.dpSize) });
  const recorder =
    topology.kind === 'aggregated'
      ? await replayAggregated({ ...fleet, ...role(workers) })
      : await replayDisaggregated({
          ...fleet,
          prefill: role(prefillWorkers),
          decode: role(workers),
          handoffLatencyMs: topology.handoff_latency_ms ?? 0,
        });
  const durationNs = recorder.lastEndNs;
  const gpus = engine.dpSize * engine.tensorParallelSize;
  const summary = summarizeReplay({
    records: recorder.records,
    gaps: recorder.gaps,
    durationNs,
    cost: {
      prefillWorkerSeconds: (prefillWorkers * durationNs) / 1e9,
      prefillGpusPerWorker: prefillWorkers > 0 ? gpus : 0,
      decodeWorkerSeconds: (workers * durationNs) / 1e9,
      decodeGpusPerWorker: gpus,
    },
    sla: sla && { ttftMs: sla.ttft_ms ?? undefined, itlMs: sla.itl_ms ?? undefined },
  });
  const rows = [...recorder.records].sort(
    (a, b) => a.arrivalNs - b.arrivalNs || a.request.index - b.request.index,
  );
  for (const [at, expected] of (scenario.per_request ?? []).entries()) {
    const actual = rowOf(rows[at]!, scenario.columns!, engine.dpSize);
    for (const [column, name] of scenario.columns!.entries())
      expectClose(actual[column], expected[column]!, toleranceMs, `request ${at} ${name}`);
  }
  for (const [key, expected] of Object.entries(scenario.summary))
    expectClose(summary[key], expected, toleranceOf(key, toleranceMs, expected), key);
}

function toleranceOf(key: string, toleranceMs: number, expected: number): number {
  if (/throughput|_rps/.test(key)) return Math.max(1e-5, Math.abs(expected) * 1e-7);
  return key.endsWith('_ms') ? toleranceMs : 1e-6;
}

function expectClose(
  actual: unknown,
  expected: number | string | null,
  tolerance: number,
  what: string,
): void {
  if (typeof expected === 'number' && typeof actual === 'number')
    expect(Math.abs(actual - expected), `${what}: ${actual} instead of ${expected}`).toBeLessThanOrEqual(
      tolerance,
    );
  else expect(actual ?? null, what).toEqual(expected);
}

function rowOf(record: RequestRecord, columns: readonly string[], dpSize: number): unknown[] {
  const ms = (ns: number | undefined): number | undefined => (ns === undefined ? undefined : ns / 1e6);
  const scheduler = (...pools: string[]): number | undefined => {
    const entry = record.routing.find(({ pool }) => pools.includes(pool));
    return entry === undefined ? undefined : entry.worker * dpSize + entry.dpRank;
  };
  const { handoff, admissions } = record;
  const fields: Record<string, unknown> = {
    arrival_time_ms: ms(record.arrivalNs),
    first_admit_ms: ms(admissions[0]?.atNs),
    first_token_ms: ms(record.firstTokenNs),
    last_token_ms: ms(record.lastTokenNs),
    terminal_time_ms: ms(record.terminalNs),
    ttst_ms: ttstOf(record),
    input_length: record.request.inputLength,
    output_length: record.outputTokens,
    reused_input_tokens: largestReuse(record),
    prefill_worker_idx: scheduler('prefill'),
    decode_worker_idx: scheduler('agg', 'decode'),
    admission_count: admissions.length,
    prefill_admit_ms: ms(admissions.find(({ pool }) => pool === 'prefill')?.atNs),
    source_held_ms: ms(handoff?.sourceHeldNs),
    destination_reserved_ms: ms(handoff?.reservedNs),
    destination_activated_ms: ms(handoff?.activatedNs),
    decode_admit_ms: ms(admissions.find(({ pool }) => pool === 'decode')?.atNs),
    source_released_ms: ms(handoff?.releasedNs),
    decode_reused_input_tokens: handoff?.reusedTokens,
    session_id: record.request.session.id,
    turn_index: record.request.turn,
  };
  return columns.map((column) => fields[column]);
}
