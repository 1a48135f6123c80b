import type { CollectedField } from './queries.ts';

/** One family that can answer a field, and what its values are multiplied by to have the field's unit. */
export interface Source {
  readonly family: string;
  readonly factor?: number;
}

/**
 * How a field is measured. `rate`: increase of a counter over the window, a second. `quantile`: from the increases of
 * a histogram's buckets. `sum`, `mean`: of a gauge's means in the window over its series. The first source with series wins.
 */
export interface Measure {
  readonly kind: 'rate' | 'quantile' | 'sum' | 'mean';
  readonly sources: readonly Source[];
  readonly q?: number;
}

const THOMPSON = 'dynamo_component_thompson';
const of = (kind: Measure['kind'], ...families: string[]): Measure => ({
  kind,
  sources: families.map((family) => ({ family })),
});
const quantile = (q: number, histogram: string): Measure => ({
  ...of('quantile', `${histogram}_bucket`),
  q,
});
const TTFT = 'dynamo_frontend_time_to_first_token_seconds';
const ITL = 'dynamo_frontend_inter_token_latency_seconds';

/** Newer names and other engines stand after the reference's own. */
export const MEASURES: Readonly<Record<CollectedField, Measure>> = {
  kve_cached_tokens_rate: of('rate', `${THOMPSON}_kve_cached_tokens_total`),
  kve_prompt_tokens_rate: of('rate', `${THOMPSON}_kve_prompt_tokens_total`),
  kve_device_blocks_rate: of('rate', `${THOMPSON}_kve_device_blocks_total`),
  kve_host_blocks_rate: of('rate', `${THOMPSON}_kve_host_blocks_total`),
  kve_disk_blocks_rate: of('rate', `${THOMPSON}_kve_disk_blocks_total`),
  kv_cache_usage_percent: {
    kind: 'mean',
    // All of them are shares, whatever their names say.
    sources: [
      { family: 'dynamo_component_kvstats_gpu_cache_usage_percent', factor: 100 },
      { family: 'dynamo_component_gpu_cache_usage_percent', factor: 100 },
      { family: 'vllm:kv_cache_usage_perc', factor: 100 },
      { family: 'sglang:token_usage', factor: 100 },
    ],
  },
  kv_cache_hit_rate_sglang: of('mean', 'sglang:cache_hit_rate'),
  kv_cache_hit_rate_dynamo: of(
    'mean',
    'dynamo_component_kvstats_gpu_prefix_cache_hit_rate',
    'dynamo_component_kv_cache_hit_rate',
  ),
  ttft_p50: quantile(0.5, TTFT),
  ttft_p95: quantile(0.95, TTFT),
  ttft_p99: quantile(0.99, TTFT),
  itl_p50: quantile(0.5, ITL),
  itl_p95: quantile(0.95, ITL),
  itl_p99: quantile(0.99, ITL),
  inflight_requests_frontend: of('sum', 'dynamo_frontend_inflight_requests'),
  inflight_requests_worker: of('sum', 'dynamo_component_inflight_requests'),
  queued_requests: of('sum', 'dynamo_frontend_queued_requests'),
  requests_per_minute: { kind: 'rate', sources: [{ family: 'dynamo_frontend_requests_total', factor: 60 }] },
  token_throughput: of('rate', 'dynamo_frontend_output_tokens_total'),
  sglang_running_requests: of('sum', 'sglang:num_running_reqs'),
  sglang_queue_depth: of('sum', 'sglang:num_queue_reqs'),
  sglang_gen_throughput: of('sum', 'sglang:gen_throughput'),
  sglang_utilization: of('mean', 'sglang:utilization'),
  thompson_routing_decisions_rate: of('rate', `${THOMPSON}_routing_decisions_total`),
  thompson_requests_rate: of('rate', `${THOMPSON}_requests_total`),
};

/** Where KV efficiency can come from, best first: cached over prompt tokens of one window. */
export interface KveSource {
  readonly name: 'processor' | 'frontend' | 'sglang' | 'vllm' | 'vllm-prefix-cache' | 'sglang-gauge';
  /** Counter of cached tokens; or, with `computed`, of those that were not. */
  readonly part: string;
  readonly whole: string | undefined;
  readonly computed?: true;
}

export const KVE_SOURCES: readonly KveSource[] = [
  {
    name: 'processor',
    part: `${THOMPSON}_kve_cached_tokens_total`,
    whole: `${THOMPSON}_kve_prompt_tokens_total`,
  },
  {
    name: 'frontend',
    part: 'dynamo_frontend_cached_tokens_sum',
    whole: 'dynamo_frontend_input_sequence_tokens_sum',
  },
  { name: 'sglang', part: 'sglang:cached_tokens_total', whole: 'sglang:prompt_tokens_total' },
  {
    name: 'vllm',
    part: 'vllm:request_prefill_kv_computed_tokens_sum',
    whole: 'vllm:request_prompt_tokens_sum',
    computed: true,
  },
  {
    name: 'vllm-prefix-cache',
    part: 'vllm:prefix_cache_hits_total',
    whole: 'vllm:prefix_cache_queries_total',
  },
  { name: 'sglang-gauge', part: 'sglang:cache_hit_rate', whole: undefined },
];
