import { ascending, percentileCdf } from '../../math/percentile.ts';
import { mean, summarize } from '../../math/summary.ts';
import { timePerTokenMs, timings } from '../measure/timings.ts';
import { inputTokens, type LoadRun, outputTokens, type RequestRecord } from '../record.ts';

const PERCENTILES = {
  p001: 0.1,
  p01: 1,
  p05: 5,
  p10: 10,
  p25: 25,
  p50: 50,
  p75: 75,
  p90: 90,
  p95: 95,
  p99: 99,
  p999: 99.9,
} as const;

interface Statuses<T> {
  readonly successful: T;
  readonly incomplete: T;
  readonly errored: T;
  readonly total: T;
}

/** `benchmarks.json` of guidellm with one benchmark, by its definitions and percentile rule. */
export function guidellmJson(
  run: LoadRun,
  config: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const records = run.records.filter((record) => record.phase === 'measure' && record.outcome !== 'dropped');
  const groups = statuses(records);
  return {
    benchmarks: [
      {
        config,
        metrics: metrics(run, groups),
        scheduler_metrics: scheduler(records),
        requests: requests(groups),
      },
    ],
  };
}

function statuses(records: readonly RequestRecord[]): Statuses<readonly RequestRecord[]> {
  return {
    successful: records.filter((record) => record.outcome === 'completed'),
    incomplete: records.filter((record) => record.outcome === 'cancelled'),
    errored: records.filter((record) => record.outcome === 'failed'),
    total: records,
  };
}

function each<T, U>(groups: Statuses<T>, make: (group: T) => U): Statuses<U> {
  return {
    successful: make(groups.successful),
    incomplete: make(groups.incomplete),
    errored: make(groups.errored),
    total: make(groups.total),
  };
}

function metrics(run: LoadRun, groups: Statuses<readonly RequestRecord[]>): Record<string, unknown> {
  const over = (pick: (record: RequestRecord) => number | undefined) =>
    each(groups, (group) => distribution(group.flatMap((record) => pick(record) ?? [])));
  const durationS = run.durationMs / 1000;
  const rate = (count: (record: RequestRecord) => number) =>
    each(groups, (group) => {
      const total = group.reduce((sum, record) => sum + count(record), 0);
      return { mean: durationS > 0 ? total / durationS : 0, total_sum: total };
    });
  const of = (record: RequestRecord) => timings(record, 'guidellm');
  return {
    requests_per_second: rate(() => 1),
    request_concurrency: each(groups, (group) => {
      const busyMs = group.reduce((sum, record) => sum + record.endMs - record.sentMs, 0);
      return { mean: run.durationMs > 0 ? busyMs / run.durationMs : 0 };
    }),
    request_latency: over((record) => of(record).latencyMs / 1000),
    prompt_token_count: over(inputTokens),
    output_token_count: over(outputTokens),
    time_to_first_token_ms: over((record) => of(record).ttftMs),
    time_to_first_output_token_ms: over((record) => of(record).ttftMs),
    time_per_output_token_ms: over(timePerTokenMs),
    inter_token_latency_ms: over((record) => of(record).tpotMs),
    prompt_tokens_per_second: rate(inputTokens),
    output_tokens_per_second: rate(outputTokens),
    tokens_per_second: rate((record) => inputTokens(record) + outputTokens(record)),
    request_totals: each(groups, (group) => group.length),
  };
}

function distribution(values: readonly number[]): Record<string, unknown> {
  const summary = summarize(values);
  if (summary === undefined) return { count: 0, total_sum: 0, percentiles: null };
  const sorted = ascending(values);
  return {
    mean: summary.mean,
    median: percentileCdf(sorted, 50),
    mode: mode(sorted),
    variance: summary.std ** 2,
    std_dev: summary.std,
    min: summary.min,
    max: summary.max,
    count: summary.count,
    total_sum: summary.sum,
    percentiles: Object.fromEntries(
      Object.entries(PERCENTILES).map(([key, p]) => [key, percentileCdf(sorted, p)]),
    ),
  };
}

/** The most frequent value, the smallest of several. */
function mode(sorted: Float64Array): number {
  let best = sorted[0]!;
  let most = 0;
  for (let at = 0; at < sorted.length; ) {
    let next = at + 1;
    while (next < sorted.length && sorted[next] === sorted[at]) next++;
    if (next - at > most) [best, most] = [sorted[at]!, next - at];
    at = next;
  }
  return best;
}

/** Seconds, averages only; -1 where nothing was due, as guidellm writes it. */
function scheduler(records: readonly RequestRecord[]): Record<string, number> {
  const seconds = (values: readonly number[]): number => (mean(values) ?? -1000) / 1000;
  const late = (record: RequestRecord): number | readonly number[] =>
    record.intendedMs === undefined ? [] : record.sentMs - record.intendedMs;
  return {
    queued_time_avg: seconds(records.flatMap((record) => record.waitedMs ?? [])),
    resolve_targeted_start_delay_avg: seconds(records.flatMap(late)),
    request_targeted_start_delay_avg: seconds(records.flatMap(late)),
    request_time_avg: seconds(records.map((record) => record.endMs - record.sentMs)),
  };
}

function requests(groups: Statuses<readonly RequestRecord[]>): Record<string, unknown> {
  const row = (record: RequestRecord) => {
    const { ttftMs, tpotMs, latencyMs } = timings(record, 'guidellm');
    return {
      request_id: record.id,
      request_latency: latencyMs / 1000,
      prompt_tokens: inputTokens(record),
      output_tokens: outputTokens(record),
      time_to_first_token_ms: ttftMs ?? null,
      time_per_output_token_ms: timePerTokenMs(record) ?? null,
      inter_token_latency_ms: tpotMs ?? null,
      error: record.error ?? null,
    };
  };
  const { successful, incomplete, errored } = each(groups, (group) => group.map(row));
  return { successful, incomplete, errored };
}
