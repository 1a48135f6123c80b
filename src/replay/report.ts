import type { GapPool } from './gap-pool.ts';
import { gapLatencies, type Latency, latencyOf, STATISTICS } from './latency.ts';
import { firstReuse, largestReuse, type RequestRecord } from './record.ts';

/** Limits that a request must hold to count as good, ms; undefined: no limit. */
export interface Sla {
  readonly ttftMs?: number | undefined;
  /** On the mean gap of the request. */
  readonly itlMs?: number | undefined;
  readonly e2eMs?: number | undefined;
}

/** What a replay cost: worker time integrated over the run. */
export interface FleetCost {
  readonly prefillWorkerSeconds: number;
  readonly decodeWorkerSeconds: number;
  readonly prefillGpusPerWorker: number;
  readonly decodeGpusPerWorker: number;
}

export interface ReportInput {
  readonly records: readonly RequestRecord[];
  readonly gaps: GapPool;
  readonly durationNs: number;
  readonly cost: FleetCost;
  readonly sla?: Sla | undefined;
}

/** The summary of a replay under the reference's keys; rates are per second of virtual time, latencies in ms. */
export type Report = Readonly<Record<string, number>>;

/** Sums a replay up. All that arrived count in `num_requests`, completed ones in everything else but their own rows. */
export function summarizeReplay(input: ReportInput): Report {
  const { records, durationNs, cost, sla } = input;
  const completed = records.filter(({ status }) => status === 'completed');
  const seconds = durationNs / 1e9;
  const inputTokens = sum(completed, ({ request }) => request.inputLength);
  const outputTokens = sum(completed, ({ outputTokens: tokens }) => tokens);
  const perSecond = (amount: number): number => (seconds > 0 ? amount / seconds : 0);
  const ratio = (part: number): number => (inputTokens > 0 ? part / inputTokens : 0);
  return {
    num_requests: records.length,
    completed_requests: completed.length,
    rejected_requests: records.filter(({ status }) => status === 'rejected').length,
    unfinished_requests: records.filter(({ status }) => status === undefined).length,
    total_input_tokens: inputTokens,
    total_output_tokens: outputTokens,
    processed_tokens: inputTokens + outputTokens,
    duration_ms: durationNs / 1e6,
    request_throughput_rps: perSecond(completed.length),
    input_throughput_tok_s: perSecond(inputTokens),
    output_throughput_tok_s: perSecond(outputTokens),
    total_throughput_tok_s: perSecond(inputTokens + outputTokens),
    prefill_worker_seconds: cost.prefillWorkerSeconds,
    decode_worker_seconds: cost.decodeWorkerSeconds,
    prefill_gpus_per_worker: cost.prefillGpusPerWorker,
    decode_gpus_per_worker: cost.decodeGpusPerWorker,
    gpu_hours:
      (cost.prefillWorkerSeconds * cost.prefillGpusPerWorker +
        cost.decodeWorkerSeconds * cost.decodeGpusPerWorker) /
      3600,
    prefix_cache_reused_ratio: ratio(sum(completed, largestReuse)),
    first_admission_prefix_cache_reused_ratio: ratio(sum(completed, firstReuse)),
    ...(sla === undefined ? {} : goodput(completed, sla, perSecond)),
    ...latencies(completed, input.gaps),
    late_mean_e2e_latency_ms: latencyOf(lateHalf(completed).map(e2eOf)).mean,
  };
}

/** Whether a completed request held all limits. */
export function isGood(record: RequestRecord, { ttftMs, itlMs, e2eMs }: Sla): boolean {
  const ttft = ttftOf(record);
  const e2e = e2eOf(record);
  if (ttftMs !== undefined && !(ttft !== undefined && ttft <= ttftMs)) return false;
  if (e2eMs !== undefined && e2e > e2eMs) return false;
  if (itlMs === undefined || record.outputTokens <= 1 || ttft === undefined) return true;
  return (e2e - ttft) / (record.outputTokens - 1) <= itlMs;
}

/** Time to first token, ms; undefined if there was none. */
export function ttftOf({ firstTokenNs, arrivalNs }: RequestRecord): number | undefined {
  return firstTokenNs === undefined ? undefined : (firstTokenNs - arrivalNs) / 1e6;
}

export function ttstOf({ firstTokenNs, secondTokenNs }: RequestRecord): number | undefined {
  return secondTokenNs === undefined ? undefined : (secondTokenNs - firstTokenNs!) / 1e6;
}

/** Mean time per token after the first, ms. */
export function tpotOf({ firstTokenNs, lastTokenNs, outputTokens }: RequestRecord): number | undefined {
  return outputTokens < 2 ? undefined : (lastTokenNs! - firstTokenNs!) / 1e6 / (outputTokens - 1);
}

export function e2eOf({ terminalNs, arrivalNs }: RequestRecord): number {
  return ((terminalNs ?? arrivalNs) - arrivalNs) / 1e6;
}

function goodput(
  completed: readonly RequestRecord[],
  sla: Sla,
  perSecond: (amount: number) => number,
): Record<string, number> {
  const good = completed.filter((record) => isGood(record, sla));
  return {
    goodput_completed_requests: good.length,
    goodput_request_throughput_rps: perSecond(good.length),
    goodput_output_throughput_tok_s: perSecond(sum(good, ({ outputTokens }) => outputTokens)),
  };
}

function latencies(completed: readonly RequestRecord[], gaps: GapPool): Record<string, number> {
  const { itl, userThroughput } = gapLatencies(gaps);
  return {
    ...keyed('ttft_ms', latencyOf(known(completed, ttftOf))),
    ...keyed('ttst_ms', latencyOf(known(completed, ttstOf))),
    ...keyed('tpot_ms', latencyOf(known(completed, tpotOf))),
    ...keyed('itl_ms', itl),
    ...keyed('e2e_latency_ms', latencyOf(completed.map(e2eOf))),
    ...keyed('output_token_throughput_per_user', userThroughput),
  };
}

/** Those that arrived later than half of them. */
function lateHalf(records: readonly RequestRecord[]): readonly RequestRecord[] {
  return [...records].sort((a, b) => a.arrivalNs - b.arrivalNs).slice(Math.floor(records.length / 2));
}

function keyed(name: string, latency: Latency): Record<string, number> {
  return Object.fromEntries(STATISTICS.map((statistic) => [`${statistic}_${name}`, latency[statistic]]));
}

function known(
  records: readonly RequestRecord[],
  value: (record: RequestRecord) => number | undefined,
): readonly number[] {
  return records.map(value).filter((number) => number !== undefined);
}

function sum(records: readonly RequestRecord[], value: (record: RequestRecord) => number): number {
  let total = 0;
  for (const record of records) total += value(record);
  return total;
}
