/** What to collect, from where, and for which window; keys are those of `dynamo_metrics` in a profiler configuration. */
export interface DynamoMetricsConfig {
  readonly enable: boolean;
  readonly prometheus_url: string;
  readonly collect_kv_cache: boolean;
  readonly collect_ttft: boolean;
  readonly collect_itl: boolean;
  readonly collect_inflight_requests: boolean;
  readonly collect_throughput: boolean;
  readonly collect_token_throughput: boolean;
  /** PromQL duration of the ranges that rates are taken over. */
  readonly query_range: string;
  readonly lookback_seconds: number;
  /** Unix seconds. */
  readonly workflow_start_timestamp: number | null;
  readonly workflow_end_timestamp: number | null;
}

export const DEFAULT_DYNAMO_METRICS: DynamoMetricsConfig = {
  enable: false,
  prometheus_url: 'http://localhost:9090',
  collect_kv_cache: true,
  collect_ttft: true,
  collect_itl: true,
  collect_inflight_requests: true,
  collect_throughput: true,
  collect_token_throughput: true,
  query_range: '30s',
  lookback_seconds: 0,
  workflow_start_timestamp: null,
  workflow_end_timestamp: null,
};

/** Cache efficiency, TTFT and ITL, nothing else: 19 of the 25 queries. */
export function coreMetricsOnly(
  prometheusUrl = DEFAULT_DYNAMO_METRICS.prometheus_url,
  queryRange = DEFAULT_DYNAMO_METRICS.query_range,
): DynamoMetricsConfig {
  return {
    ...DEFAULT_DYNAMO_METRICS,
    enable: true,
    prometheus_url: prometheusUrl,
    query_range: queryRange,
    collect_inflight_requests: false,
    collect_throughput: false,
    collect_token_throughput: false,
  };
}

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
  y: 31_536_000,
};

/** Seconds of a PromQL duration such as `30s` or `1h30m`; undefined when it is none. */
export function durationSeconds(text: string): number | undefined {
  if (!/^(\d+(ms|[smhdwy]))+$/.test(text)) return undefined;
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|[smhdwy])/g))
    seconds += Number(count) * UNIT_SECONDS[unit!]!;
  return seconds;
}
