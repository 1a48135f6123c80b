import { exponentialBuckets, linearBuckets, logBuckets } from '../buckets.ts';
import { counter, gauge, histogram } from '../spec.ts';

const EXP_OVERHEAD_1_0 = exponentialBuckets(0.0001, 2, 18);
const LOG_TTFT = logBuckets(0.001, 480, 18);
const LOG_ITL = logBuckets(0.001, 2, 13);
const LOG_ISL = logBuckets(50, 128000, 12);
const LOG_OSL = logBuckets(50, 32000, 10);
const LIN_RATIO = linearBuckets(0, 0.05, 21);
const LOG_KV_TRANSFER = logBuckets(0.001, 10, 15);
const EXP_BLOCKS_LOST = exponentialBuckets(0.25, 2, 16);

/** Where routing time goes, with the buckets of 1.0.2 in every version: finer where our own times lie. */
export const ROUTER_OVERHEAD = {
  blockHashingMs: histogram(
    'dynamo_router_overhead_block_hashing_ms',
    'Time spent computing block hashes in milliseconds',
    EXP_OVERHEAD_1_0,
    ['router_id'],
  ),
  indexerFindMatchesMs: histogram(
    'dynamo_router_overhead_indexer_find_matches_ms',
    'Time spent in indexer find_matches in milliseconds',
    EXP_OVERHEAD_1_0,
    ['router_id'],
  ),
  seqHashingMs: histogram(
    'dynamo_router_overhead_seq_hashing_ms',
    'Time spent computing sequence hashes in milliseconds',
    EXP_OVERHEAD_1_0,
    ['router_id'],
  ),
  schedulingMs: histogram(
    'dynamo_router_overhead_scheduling_ms',
    'Time spent in scheduler worker selection in milliseconds',
    EXP_OVERHEAD_1_0,
    ['router_id'],
  ),
  totalMs: histogram(
    'dynamo_router_overhead_total_ms',
    'Total routing overhead per request in milliseconds',
    EXP_OVERHEAD_1_0,
    ['router_id'],
  ),
} as const;

/** Each routed hop, under the labels of the component routed to. */
export const ROUTER_REQUEST = {
  requestsStartedTotal: counter(
    'dynamo_component_router_requests_started_total',
    'Total number of requests admitted by the router scheduler',
    ['router_id'],
    { since: '1.4.0' },
  ),
  requestsTotal: counter(
    'dynamo_component_router_requests_total',
    'Total number of requests processed by the router',
    ['router_id'],
  ),
  timeToFirstTokenSeconds: histogram(
    'dynamo_component_router_time_to_first_token_seconds',
    'Time to first token observed at the router',
    LOG_TTFT,
    ['router_id'],
  ),
  interTokenLatencySeconds: histogram(
    'dynamo_component_router_inter_token_latency_seconds',
    'Average inter-token latency observed at the router',
    LOG_ITL,
    ['router_id'],
  ),
  inputSequenceTokens: histogram(
    'dynamo_component_router_input_sequence_tokens',
    'Input sequence length in tokens observed at the router',
    LOG_ISL,
    ['router_id'],
  ),
  outputSequenceTokens: histogram(
    'dynamo_component_router_output_sequence_tokens',
    'Output sequence length in tokens observed at the router',
    LOG_OSL,
    ['router_id'],
  ),
  kvHitRate: histogram(
    'dynamo_component_router_kv_hit_rate',
    'Predicted KV cache hit rate at routing time (0.0-1.0)',
    LIN_RATIO,
    ['router_id'],
  ),
  kvTransferEstimatedLatencySeconds: histogram(
    'dynamo_component_router_kv_transfer_estimated_latency_seconds',
    'Upper-bound estimation of KV cache transfer latency in disaggregated serving (prefill_complete to first_token)',
    LOG_KV_TRANSFER,
    ['router_id'],
    { since: '1.1.0' },
  ),
  nonMaxOverlapSelectionsTotal: counter(
    'dynamo_component_router_non_max_overlap_selections_total',
    'Total admitted prefill scheduler selections with less KV cache overlap than another eligible worker',
    ['router_id', 'worker_type'],
    { since: '1.4.0' },
  ),
  overlapBlocksLost: histogram(
    'dynamo_component_router_overlap_blocks_lost',
    'Difference in effective KV cache overlap between the highest-overlap eligible prefill worker and selected worker',
    EXP_BLOCKS_LOST,
    ['router_id', 'worker_type'],
    { since: '1.4.0' },
  ),
  remoteIndexerQueryFailuresTotal: counter(
    'dynamo_component_router_remote_indexer_query_failures_total',
    'Total number of remote indexer overlap queries that failed',
    ['router_id'],
    { since: '1.2.0' },
  ),
  remoteIndexerWriteFailuresTotal: counter(
    'dynamo_component_router_remote_indexer_write_failures_total',
    'Total number of remote indexer routing-decision writes that failed',
    ['router_id'],
    { since: '1.2.0' },
  ),
} as const;

/** What the index made of KV events, and which workers it knows. */
export const ROUTER_INDEX = {
  workerRegistered: gauge(
    'dynamo_component_router_worker_registered',
    'Whether the router currently has this worker/dp_rank registered (1 = registered)',
    ['dp_rank', 'router_worker_id', 'worker_type'],
    { since: '1.3.0' },
  ),
  eventsApplied: counter(
    'dynamo_component_kv_cache_events_applied',
    'Total number of KV cache events applied to index',
    ['event_type', 'status'],
  ),
  eventWarnings: counter(
    'dynamo_component_kv_cache_event_warnings',
    'Total number of suspicious KV cache events seen by the router indexer',
    ['warning_kind'],
    { since: '1.2.0' },
  ),
} as const;
