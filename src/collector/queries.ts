import type { DynamoMetricsConfig } from './config.ts';

type CollectFlag = keyof DynamoMetricsConfig & `collect_${string}`;

/** One query of the reference: the field its answer fills, PromQL with `{range}` open, the flag that asks for it. */
export interface CollectorQuery {
  readonly field: CollectedField;
  readonly promql: string;
  /** Undefined: always asked. */
  readonly flag: CollectFlag | undefined;
}

/** Fields of a result, in the order in which it is written. */
export const COLLECTED_FIELDS = [
  'kve_cached_tokens_rate',
  'kve_prompt_tokens_rate',
  'kve_device_blocks_rate',
  'kve_host_blocks_rate',
  'kve_disk_blocks_rate',
  'kv_cache_usage_percent',
  'kv_cache_hit_rate_sglang',
  'kv_cache_hit_rate_dynamo',
  'ttft_p50',
  'ttft_p95',
  'ttft_p99',
  'itl_p50',
  'itl_p95',
  'itl_p99',
  'inflight_requests_frontend',
  'inflight_requests_worker',
  'queued_requests',
  'requests_per_minute',
  'token_throughput',
  'sglang_running_requests',
  'sglang_queue_depth',
  'sglang_gen_throughput',
  'sglang_utilization',
  'thompson_routing_decisions_rate',
  'thompson_requests_rate',
] as const;

export type CollectedField = (typeof COLLECTED_FIELDS)[number];
/** Every field; null where nothing is known. */
export type CollectedValues = Readonly<Record<CollectedField, number | null>>;

const quantile = (q: string, histogram: string) =>
  `histogram_quantile(${q}, rate(${histogram}_bucket[{range}]))`;
const rate = (counter: string) => `rate(${counter}[{range}])`;
const TTFT = 'dynamo_frontend_time_to_first_token_seconds';
const ITL = 'dynamo_frontend_inter_token_latency_seconds';
const THOMPSON = 'dynamo_component_thompson';

const GROUPS: readonly (readonly [CollectFlag | undefined, Partial<Record<CollectedField, string>>])[] = [
  [
    'collect_inflight_requests',
    {
      inflight_requests_frontend: 'dynamo_frontend_inflight_requests',
      inflight_requests_worker: 'dynamo_component_inflight_requests',
      queued_requests: 'dynamo_frontend_queued_requests',
    },
  ],
  ['collect_throughput', { requests_per_minute: `${rate('dynamo_frontend_requests_total')} * 60` }],
  [
    'collect_ttft',
    { ttft_p50: quantile('0.50', TTFT), ttft_p95: quantile('0.95', TTFT), ttft_p99: quantile('0.99', TTFT) },
  ],
  [
    'collect_itl',
    { itl_p50: quantile('0.50', ITL), itl_p95: quantile('0.95', ITL), itl_p99: quantile('0.99', ITL) },
  ],
  [
    'collect_kv_cache',
    {
      kve_cached_tokens_rate: rate(`${THOMPSON}_kve_cached_tokens_total`),
      kve_prompt_tokens_rate: rate(`${THOMPSON}_kve_prompt_tokens_total`),
      kve_device_blocks_rate: rate(`${THOMPSON}_kve_device_blocks_total`),
      kve_host_blocks_rate: rate(`${THOMPSON}_kve_host_blocks_total`),
      kve_disk_blocks_rate: rate(`${THOMPSON}_kve_disk_blocks_total`),
      kv_cache_usage_percent: 'dynamo_component_kvstats_gpu_cache_usage_percent',
      kv_cache_hit_rate_sglang: 'sglang:cache_hit_rate',
      kv_cache_hit_rate_dynamo: 'dynamo_component_kvstats_gpu_prefix_cache_hit_rate',
    },
  ],
  [
    'collect_token_throughput',
    {
      token_throughput: rate('dynamo_frontend_output_tokens_total'),
      sglang_gen_throughput: 'sglang:gen_throughput',
    },
  ],
  [
    undefined,
    {
      sglang_running_requests: 'sglang:num_running_reqs',
      sglang_queue_depth: 'sglang:num_queue_reqs',
      sglang_utilization: 'sglang:utilization',
      thompson_routing_decisions_rate: rate(`${THOMPSON}_routing_decisions_total`),
      thompson_requests_rate: rate(`${THOMPSON}_requests_total`),
    },
  ],
];

/** All 25, in the order in which the reference asks them. */
export const COLLECTOR_QUERIES: readonly CollectorQuery[] = GROUPS.flatMap(([flag, fields]) =>
  Object.entries(fields).map(([field, promql]) => ({ field: field as CollectedField, promql, flag })),
);

/** The queries that a configuration asks for, in order. */
export function enabledQueries(config: DynamoMetricsConfig): readonly CollectorQuery[] {
  return COLLECTOR_QUERIES.filter(({ flag }) => flag === undefined || config[flag]);
}

/** Values with nothing known. */
export function noValues(): Record<CollectedField, number | null> {
  return Object.fromEntries(COLLECTED_FIELDS.map((field) => [field, null])) as Record<
    CollectedField,
    number | null
  >;
}
