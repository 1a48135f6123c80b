import { linearBuckets } from '../buckets.ts';
import { counter, gauge, histogram } from '../spec.ts';

/** What the metrics themselves could not do. */
export const SELF = {
  problemsTotal: counter(
    'kvasir_metrics_problems_total',
    'Parts of an exposition that were left out or mended, by reason',
    ['reason'],
  ),
  droppedValuesTotal: counter(
    'kvasir_metrics_dropped_values_total',
    'Values refused because they were not finite, or negative for a counter',
    ['family'],
  ),
  refusedSeriesTotal: counter(
    'kvasir_metrics_refused_series_total',
    'Lookups of a new series refused because the family was full',
    ['family'],
  ),
} as const;

/** How well the router foresees what engines find in their caches. */
export const PREDICTION = {
  predictedTokensTotal: counter(
    'kvasir_router_predicted_cached_tokens_total',
    'Prompt tokens that the router expected the chosen worker to have cached',
  ),
  reportedTokensTotal: counter(
    'kvasir_router_reported_cached_tokens_total',
    'Prompt tokens that the chosen worker reported as cached, for the same requests',
  ),
  errorRatio: histogram(
    'kvasir_router_prediction_error_ratio',
    'Distance of predicted from reported cached tokens as a fraction of the prompt (0.0-1.0)',
    linearBuckets(0, 0.05, 21),
  ),
  workerErrorRatio: histogram(
    'kvasir_router_worker_prediction_error_ratio',
    'Predicted less reported cached tokens of a rank as a fraction of the prompt (-1.0-1.0)',
    linearBuckets(-1, 0.1, 21),
    ['worker', 'dp_rank'],
  ),
  workerBiasTokens: gauge(
    'kvasir_router_worker_prediction_bias_tokens',
    'Running mean of predicted less reported cached tokens of a rank; above 0 the router expects too much',
    ['worker', 'dp_rank'],
  ),
  anomaliesTotal: counter(
    'kvasir_router_hit_rate_anomalies_total',
    'Predictions of more cached blocks than the prompt has',
  ),
} as const;

/** What routers keep in files. */
export const POLICY_FILES = {
  savesTotal: counter('kvasir_policy_state_saves_total', 'Writes of what a router policy has learned', [
    'result',
  ]),
  refusedTotal: counter(
    'kvasir_policy_state_refused_total',
    'Saved states of a router policy that could not be used and were kept aside',
  ),
  droppedTotal: counter(
    'kvasir_decision_log_dropped_lines_total',
    'Lines of the decision log that were lost because they could not be written',
  ),
} as const;

/** The index of cached blocks and the event streams that feed it. */
export const INDEX = {
  memoryBytes: gauge('kvasir_index_memory_bytes', 'Memory that the block index holds'),
  blocks: gauge('kvasir_index_blocks', 'Distinct blocks that the index holds'),
  residents: gauge('kvasir_index_resident_blocks', 'Pairs of block and rank that the index holds'),
  evictedTotal: counter(
    'kvasir_index_evicted_blocks_total',
    'Blocks evicted to stay within the memory limit',
  ),
  rankState: gauge(
    'kvasir_index_rank_state',
    'How far the index can be trusted for a rank (1 = in this state)',
    ['worker', 'dp_rank', 'state'],
  ),
  rankEventAgeSeconds: gauge(
    'kvasir_index_rank_event_age_seconds',
    'Time since the last event of a rank, at the time of the scrape',
    ['worker', 'dp_rank'],
  ),
  eventGapsTotal: counter(
    'kvasir_index_event_gaps_total',
    'Breaks in the sequence of a rank’s event batches',
    ['worker', 'dp_rank'],
  ),
  missedBatchesTotal: counter(
    'kvasir_index_missed_batches_total',
    'Event batches of a rank that the gaps left out',
    ['worker', 'dp_rank'],
  ),
  rejectedEventsTotal: counter('kvasir_index_rejected_events_total', 'Events of a rank that were refused', [
    'worker',
    'dp_rank',
    'reason',
  ]),
} as const;

/** Workers that fail and are left out. */
export const CIRCUITS = {
  state: gauge(
    'kvasir_frontend_circuit_state',
    '1 for the state of the circuit of a worker that failed, else 0',
    ['worker', 'state'],
  ),
  changesTotal: counter(
    'kvasir_frontend_circuit_changes_total',
    'Changes of the circuits of workers, by new state',
    ['state'],
  ),
} as const;

/** What routers do besides choosing, and how long it takes them. */
export const OPERATION = {
  indexOperationsTotal: counter(
    'kvasir_index_operations_total',
    'Operations of the block index: match, stored, removed, cleared',
    ['operation', 'worker_type'],
  ),
  indexOperationSecondsTotal: counter(
    'kvasir_index_operation_seconds_total',
    'Time that operations of the block index took',
    ['operation', 'worker_type'],
  ),
  activeRequests: gauge(
    'kvasir_router_active_requests',
    'Requests that are booked on a rank, by what they are at: prefill or decode',
    ['worker', 'dp_rank', 'worker_type', 'phase'],
  ),
  expiredTotal: counter(
    'kvasir_router_expired_requests_total',
    'Bookings that were freed because nothing was heard of them',
    ['worker_type'],
  ),
  queueWaitSeconds: histogram(
    'kvasir_router_queue_wait_seconds',
    'Time from a request’s coming to its place, of those that had to wait',
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    ['worker_type', 'policy_class'],
  ),
  queueLeftTotal: counter(
    'kvasir_router_queue_cancelled_total',
    'Requests whose client left while they waited in the router’s queue',
    ['worker_type', 'policy_class'],
  ),
} as const;

/** Twins, with the right type or a finer view, of inherited families. */
export const FRONTEND_OWN = {
  disconnectsTotal: counter(
    'kvasir_frontend_client_disconnects_total',
    'Clients that left before their answer ended',
  ),
  modelOverflowTotal: counter(
    'kvasir_frontend_model_overflow_total',
    'Models beyond the limit of models with series of their own',
  ),
  prefillBypassedTotal: counter(
    'kvasir_frontend_prefill_bypassed_total',
    'Requests whose prompt was computed by the decode worker although there are prefill workers',
    ['model'],
  ),
  limitedTotal: counter(
    'kvasir_frontend_limited_requests_total',
    'Requests refused because their API key had reached a limit',
    ['key', 'limit'],
  ),
  agentHintsTotal: counter(
    'kvasir_frontend_agent_hints_total',
    'Requests with hints of an agent, by where these came from; one request may have several sources',
    ['source'],
  ),
  chunkGapSeconds: histogram(
    'kvasir_frontend_chunk_gap_seconds',
    'Time between chunks of an answer as they arrive, not divided by their tokens',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    ['model'],
  ),
} as const;

/** The JavaScript thread. */
export const THREAD = {
  busyRatio: gauge(
    'kvasir_event_loop_utilization_ratio',
    'Share of time in which the event loop was busy (0.0-1.0)',
  ),
} as const;

/** Transfers of KV cache, whichever connector carries them. */
export const CONNECTOR = {
  transfersTotal: counter(
    'kvasir_kv_connector_transfers_total',
    'Transfers of KV cache that succeeded, each rank’s counted apart',
    ['connector', 'engine', 'model_name'],
  ),
  bytesTotal: counter('kvasir_kv_connector_bytes_total', 'Bytes of KV cache that were transferred', [
    'connector',
    'engine',
    'model_name',
  ]),
  busySecondsTotal: counter(
    'kvasir_kv_connector_busy_seconds_total',
    'Time that transfers took, summed over transfers that may overlap',
    ['connector', 'engine', 'model_name'],
  ),
  failuresTotal: counter(
    'kvasir_kv_connector_failures_total',
    'Transfers, notifications and leases of KV cache that failed, by kind',
    ['connector', 'engine', 'kind', 'model_name'],
  ),
  throughput: gauge(
    'kvasir_kv_connector_throughput_bytes_per_second',
    'Bytes transferred over the wall time of the last interval',
    ['connector', 'engine', 'model_name'],
  ),
  valuesTotal: counter(
    'kvasir_kv_connector_values_total',
    'Sum of what a connector reported under a name that has no family of its own',
    ['connector', 'engine', 'model_name', 'name'],
  ),
  samplesTotal: counter(
    'kvasir_kv_connector_samples_total',
    'Number of values that a connector listed under a name that has no family of its own',
    ['connector', 'engine', 'model_name', 'name'],
  ),
  droppedTotal: counter(
    'kvasir_kv_connector_dropped_total',
    'Payloads of connectors, or parts of them, that were left out, by reason',
    ['connector', 'reason'],
  ),
} as const;
