import { counter, gauge, histogram } from '../spec.ts';

const PROM_DEFAULT = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const WORK_DURATION_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600];
const FIRST_RESPONSE_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** One served endpoint. */
export const WORK_HANDLER = {
  requestsTotal: counter(
    'dynamo_component_requests_total',
    'Total number of requests processed by work handler',
  ),
  requestDurationSeconds: histogram(
    'dynamo_component_request_duration_seconds',
    'Time spent processing requests by work handler',
    WORK_DURATION_S,
    [],
    { oldBuckets: PROM_DEFAULT },
  ),
  inflightRequests: gauge(
    'dynamo_component_inflight_requests',
    'Number of requests currently being processed by work handler',
  ),
  requestBytesTotal: counter(
    'dynamo_component_request_bytes_total',
    'Total number of bytes received in requests by work handler',
  ),
  responseBytesTotal: counter(
    'dynamo_component_response_bytes_total',
    'Total number of bytes sent in responses by work handler',
  ),
  errorsTotal: counter('dynamo_component_errors_total', 'Total number of errors in work handler processing', [
    'error_type',
  ]),
  cancellationTotal: counter(
    'dynamo_component_cancellation_total',
    'Total number of requests cancelled by work handler',
    [],
    { since: '1.1.0' },
  ),
} as const;

/** Every process. */
export const PROCESS = {
  uptimeSeconds: gauge(
    'dynamo_component_uptime_seconds',
    'Total uptime of the DistributedRuntime in seconds',
  ),
} as const;

/** Use of the KV cache as the engine reports it with each forward pass; one set per component. */
export const KV_STATS = {
  activeBlocks: gauge(
    'dynamo_component_kvstats_active_blocks',
    'Number of active KV cache blocks currently in use',
    [],
    { instanceLabel: false },
  ),
  totalBlocks: gauge(
    'dynamo_component_kvstats_total_blocks',
    'Total number of KV cache blocks available',
    [],
    { instanceLabel: false },
  ),
  gpuCacheUsagePercent: gauge(
    'dynamo_component_kvstats_gpu_cache_usage_percent',
    'GPU cache usage as a percentage (0.0-1.0)',
    [],
    { instanceLabel: false },
  ),
  gpuPrefixCacheHitRate: gauge(
    'dynamo_component_kvstats_gpu_prefix_cache_hit_rate',
    'GPU prefix cache hit rate as a percentage (0.0-1.0)',
    [],
    { instanceLabel: false },
  ),
} as const;

/** The same per rank, and the engine's start and end. */
export const ENGINE_GAUGES = {
  totalBlocks: gauge(
    'dynamo_component_total_blocks',
    'Total number of KV cache blocks available on the worker.',
    ['dp_rank'],
  ),
  gpuCacheUsagePercent: gauge(
    'dynamo_component_gpu_cache_usage_percent',
    'GPU cache usage as a percentage (0.0-1.0).',
    ['dp_rank'],
  ),
  kvCacheHitRate: gauge(
    'dynamo_component_kv_cache_hit_rate',
    'Prefix cache hit rate (0.0-1.0). Portable across engines.',
    ['dp_rank'],
    { since: '1.3.0' },
  ),
  modelLoadTimeSeconds: gauge(
    'dynamo_component_model_load_time_seconds',
    'Time engine.start() took to return. Set once at Worker setup.',
  ),
  cleanupTimeSeconds: gauge(
    'dynamo_component_cleanup_time_seconds',
    'Time spent releasing engine resources during shutdown. Set by the framework once after engine.cleanup() returns.',
    [],
    { since: '1.3.0' },
  ),
  drainTimeSeconds: gauge(
    'dynamo_component_drain_time_seconds',
    'Time spent draining in-flight work before cleanup. Stays at 0 for engines without a drain hook.',
    [],
    { since: '1.3.0' },
  ),
} as const;

/** KV events on their way from the engine to the routers. */
export const KV_PUBLISHER = {
  enginesDroppedEventsTotal: counter(
    'dynamo_component_kv_publisher_engines_dropped_events_total',
    'Total number of raw events dropped by engines before reaching publisher (detected via event_id gaps)',
    [],
    { since: '1.1.0' },
  ),
  zmqEventsTotal: counter(
    'dynamo_component_kv_publisher_zmq_events_total',
    'Total number of ZMQ KV events seen by the relay',
    ['event_type', 'stage'],
    { since: '1.2.0' },
  ),
  zmqFilteredEventsTotal: counter(
    'dynamo_component_kv_publisher_zmq_filtered_events_total',
    'Total number of ZMQ KV events filtered before conversion',
    ['event_type', 'reason'],
    { since: '1.2.0' },
  ),
  zmqConversionIssuesTotal: counter(
    'dynamo_component_kv_publisher_zmq_conversion_issues_total',
    'Total number of ZMQ KV events dropped due to conversion issues',
    ['event_type', 'reason'],
    { since: '1.2.0' },
  ),
  zmqSuspiciousEventsTotal: counter(
    'dynamo_component_kv_publisher_zmq_suspicious_events_total',
    'Total number of suspicious-but-forwarded ZMQ KV events',
    ['event_type', 'reason'],
    { since: '1.2.0' },
  ),
} as const;

/** Work that waits at the worker's door. */
export const WORK_QUEUE = {
  timeToFirstResponseSeconds: histogram(
    'dynamo_work_handler_time_to_first_response_seconds',
    'Backend processing time from handle_payload entry to prologue sent (seconds)',
    FIRST_RESPONSE_S,
    [],
    { since: '1.1.0' },
  ),
  rejectedTotal: counter(
    'dynamo_rejection_request_total',
    'Requests rejected because the worker is at capacity (engine in-flight limit and Dynamo queue both full)',
    [],
    { since: '1.4.0' },
  ),
  inEngine: gauge(
    'dynamo_engine_request',
    'Current number of requests being handled by the engine (--engine-request-limit)',
    [],
    { since: '1.4.0' },
  ),
  queued: gauge(
    'dynamo_request_queue',
    'Current number of requests queued in Dynamo not yet in the engine (--dynamo-request-queue-limit)',
    [],
    { since: '1.4.0' },
  ),
} as const;
