import { logRule } from '../buckets.ts';
import { counter, gauge, histogram } from '../spec.ts';

const LOG_DURATION_1_0 = logRule('REQUEST_DURATION', 1, 256, 10);
const LOG_DURATION = logRule('REQUEST_DURATION', 1, 512, 10);
const LOG_ISL = logRule('INPUT_SEQUENCE', 50, 128_000, 12);
const LOG_OSL = logRule('OUTPUT_SEQUENCE', 50, 32_000, 10);
const TOKENIZER_MS = [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const LOG_TTFT = logRule('TTFT', 0.001, 480, 18);
const LOG_ITL = logRule('ITL', 0.001, 2, 13);
const MIGRATION_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60];
const LOG_EMBEDDING = logRule('EMBEDDING_LATENCY', 0.001, 10, 14);
const STAGE_S = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5];
const SHORT_S = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];
const TEMPLATE_S = [1e-5, 5e-5, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05];
const EVENT_LOOP_S = [0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const ROUNDTRIP_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** The HTTP service's own families; their prefix follows DYN_METRICS_PREFIX. */
export const FRONTEND = {
  requestsTotal: counter('dynamo_frontend_requests_total', 'Total number of LLM requests processed', [
    'endpoint',
    'error_type',
    'model',
    'request_type',
    'status',
  ]),
  requestsStartedTotal: counter(
    'dynamo_frontend_requests_started_total',
    'Total number of LLM requests accepted by the frontend handler',
    ['endpoint', 'model', 'request_type'],
    { since: '1.3.0' },
  ),
  inflightRequests: gauge('dynamo_frontend_inflight_requests', 'Number of inflight requests', ['model']),
  activeRequests: gauge(
    'dynamo_frontend_active_requests',
    'Number of requests currently being handled by the frontend, from HTTP handler entry to response completion',
    ['model'],
    { since: '1.2.0' },
  ),
  queuedRequests: gauge('dynamo_frontend_queued_requests', 'Number of requests in HTTP processing queue', [
    'model',
  ]),
  disconnectedClients: gauge('dynamo_frontend_disconnected_clients', 'Number of disconnected clients'),
  requestDurationSeconds: histogram(
    'dynamo_frontend_request_duration_seconds',
    'Duration of LLM requests',
    LOG_DURATION,
    ['model'],
    { oldBuckets: LOG_DURATION_1_0 },
  ),
  inputSequenceTokens: histogram(
    'dynamo_frontend_input_sequence_tokens',
    'Input sequence length in tokens',
    LOG_ISL,
    ['model'],
  ),
  outputSequenceTokens: histogram(
    'dynamo_frontend_output_sequence_tokens',
    'Output sequence length in tokens',
    LOG_OSL,
    ['model'],
  ),
  cachedTokens: histogram(
    'dynamo_frontend_cached_tokens',
    'Number of cached tokens (prefix cache hits) per request',
    LOG_ISL,
    ['model'],
  ),
  tokenizerLatencyMs: histogram(
    'dynamo_frontend_tokenizer_latency_ms',
    'Tokenizer latency in milliseconds',
    TOKENIZER_MS,
    ['operation'],
  ),
  outputTokensTotal: counter(
    'dynamo_frontend_output_tokens_total',
    'Total number of output tokens generated (updates in real-time)',
    ['model'],
  ),
  timeToFirstTokenSeconds: histogram(
    'dynamo_frontend_time_to_first_token_seconds',
    'Time to first token in seconds',
    LOG_TTFT,
    ['model'],
  ),
  interTokenLatencySeconds: histogram(
    'dynamo_frontend_inter_token_latency_seconds',
    'Inter-token latency in seconds',
    LOG_ITL,
    ['model'],
  ),
  modelTotalKvBlocks: gauge(
    'dynamo_frontend_model_total_kv_blocks',
    'Total KV cache blocks available for a worker serving the model',
    ['model'],
  ),
  modelMaxNumSeqs: gauge(
    'dynamo_frontend_model_max_num_seqs',
    'Maximum number of sequences for a worker serving the model',
    ['model'],
  ),
  modelMaxNumBatchedTokens: gauge(
    'dynamo_frontend_model_max_num_batched_tokens',
    'Maximum number of batched tokens for a worker serving the model',
    ['model'],
  ),
  modelContextLength: gauge(
    'dynamo_frontend_model_context_length',
    'Maximum context length in tokens for a worker serving the model',
    ['model'],
  ),
  modelKvCacheBlockSize: gauge(
    'dynamo_frontend_model_kv_cache_block_size',
    'KV cache block size in tokens for a worker serving the model',
    ['model'],
  ),
  modelMigrationLimit: gauge(
    'dynamo_frontend_model_migration_limit',
    'Maximum number of request migrations allowed for the model',
    ['model'],
  ),
  modelMigrationTotal: counter(
    'dynamo_frontend_model_migration_total',
    'Total number of request migrations due to worker unavailability',
    ['migration_type', 'model'],
  ),
  modelMigrationDurationSeconds: histogram(
    'dynamo_frontend_model_migration_duration_seconds',
    'Time from detecting a migratable failure until recovery, terminal failure, or cancellation',
    MIGRATION_S,
    ['migration_type', 'model', 'outcome'],
    { since: '1.5.0-dev' },
  ),
  modelMigrationMaxSeqLenExceededTotal: counter(
    'dynamo_frontend_model_migration_max_seq_len_exceeded_total',
    'Total number of times migration was disabled by max_seq_len limit',
    ['model'],
    { since: '1.1.0' },
  ),
  modelCancellationTotal: counter(
    'dynamo_frontend_model_cancellation_total',
    'Total number of request cancellations',
    ['endpoint', 'model', 'request_type'],
    { since: '1.1.0' },
  ),
  modelRejectionTotal: counter(
    'dynamo_frontend_model_rejection_total',
    'Total number of requests rejected due to resource exhaustion',
    ['endpoint', 'model'],
    { since: '1.1.0' },
  ),
  embeddingLatencySeconds: histogram(
    'dynamo_frontend_embedding_latency_seconds',
    'End-to-end latency of /v1/embeddings requests, in seconds. Distinct from request_duration_seconds so the bucket range can cover sub-second pooling-model inference.',
    LOG_EMBEDDING,
    ['model'],
    { since: '1.3.0' },
  ),
} as const;

/** The last known load and latency of each worker, under a fixed prefix as all that follow. */
export const FRONTEND_WORKER = {
  activeDecodeBlocks: gauge(
    'dynamo_frontend_worker_active_decode_blocks',
    'Active KV cache decode blocks per worker',
    ['dp_rank', 'worker_id', 'worker_type'],
  ),
  activePrefillTokens: gauge(
    'dynamo_frontend_worker_active_prefill_tokens',
    'Active prefill tokens queued per worker',
    ['dp_rank', 'worker_id', 'worker_type'],
  ),
  lastTimeToFirstTokenSeconds: gauge(
    'dynamo_frontend_worker_last_time_to_first_token_seconds',
    'Last observed time to first token per worker (seconds)',
    ['dp_rank', 'worker_id', 'worker_type'],
  ),
  lastInputSequenceTokens: gauge(
    'dynamo_frontend_worker_last_input_sequence_tokens',
    'Last observed input sequence tokens per worker',
    ['dp_rank', 'worker_id', 'worker_type'],
  ),
  lastInterTokenLatencySeconds: gauge(
    'dynamo_frontend_worker_last_inter_token_latency_seconds',
    'Last observed inter-token latency per worker (seconds)',
    ['dp_rank', 'worker_id', 'worker_type'],
  ),
} as const;

/** The scheduler queue of each policy class. */
export const ROUTER_QUEUE = {
  pendingRequests: gauge(
    'dynamo_frontend_router_queue_pending_requests',
    'Number of requests pending in the router scheduler queue',
    ['model', 'policy_class', 'worker_type'],
    { since: '1.1.0' },
  ),
  pendingIslTokens: gauge(
    'dynamo_frontend_router_queue_pending_isl_tokens',
    'Sum of isl_tokens for requests pending in the router scheduler queue',
    ['model', 'policy_class', 'worker_type'],
    { since: '1.1.0' },
  ),
  pendingCachedTokens: gauge(
    'dynamo_frontend_router_queue_pending_cached_tokens',
    'Estimated cached tokens for requests pending in the router scheduler queue',
    ['model', 'policy_class', 'worker_type'],
    { since: '1.2.0' },
  ),
  backpressureTotal: counter(
    'dynamo_frontend_router_queue_backpressure_total',
    'Total number of router scheduler queue backpressure rejections',
    ['model', 'policy_class', 'reason', 'worker_type'],
    { since: '1.2.0' },
  ),
} as const;

/** The stages that a request passes before its first token. */
export const FRONTEND_STAGE = {
  stageRequests: gauge(
    'dynamo_frontend_stage_requests',
    'Number of requests currently in the given pipeline stage',
    ['phase', 'stage'],
    { since: '1.2.0' },
  ),
  stageDurationSeconds: histogram(
    'dynamo_frontend_stage_duration_seconds',
    'Pipeline stage duration (seconds)',
    STAGE_S,
    ['stage'],
    { since: '1.1.0' },
  ),
  tokenizeSeconds: histogram(
    'dynamo_frontend_tokenize_seconds',
    'Tokenization time in preprocessor (seconds)',
    SHORT_S,
    [],
    { since: '1.1.0' },
  ),
  templateSeconds: histogram(
    'dynamo_frontend_template_seconds',
    'Template application time in preprocessor (seconds)',
    TEMPLATE_S,
    [],
    { since: '1.1.0' },
  ),
  detokenizeTotalUs: counter(
    'dynamo_frontend_detokenize_total_us',
    'Cumulative detokenization time (microseconds)',
    [],
    { since: '1.1.0' },
  ),
  detokenizeTokenCount: counter('dynamo_frontend_detokenize_token_count', 'Total tokens detokenized', [], {
    since: '1.1.0',
  }),
} as const;

/** The tokenizer's prefix cache. */
export const TOKENIZER_CACHE = {
  hitsTotal: counter(
    'dynamo_frontend_tokenizer_cache_hits_total',
    'Cumulative L1 tokenizer prefix-cache hits',
    [],
    { since: '1.3.0' },
  ),
  missesTotal: counter(
    'dynamo_frontend_tokenizer_cache_misses_total',
    'Cumulative L1 tokenizer prefix-cache misses',
    [],
    { since: '1.3.0' },
  ),
  cachedTokensTotal: counter(
    'dynamo_frontend_tokenizer_cache_cached_tokens_total',
    'Total tokens returned from the L1 tokenizer prefix cache',
    ['model'],
    { since: '1.4.0' },
  ),
  uncachedTokensTotal: counter(
    'dynamo_frontend_tokenizer_cache_uncached_tokens_total',
    'Total tokens freshly encoded after an L1 tokenizer prefix-cache lookup',
    ['model'],
    { since: '1.4.0' },
  ),
} as const;

/** How late a 10 ms timer fires. */
export const EVENT_LOOP = {
  delaySeconds: histogram(
    'dynamo_frontend_event_loop_delay_seconds',
    'Event loop delay canary: drift from 10ms sleep (seconds)',
    EVENT_LOOP_S,
    [],
    { since: '1.1.0' },
  ),
  stallTotal: counter(
    'dynamo_frontend_event_loop_stall_total',
    'Number of event loop stalls (delay > 5ms)',
    [],
    { since: '1.1.0' },
  ),
  busyRatio: gauge(
    'dynamo_tokio_worker_busy_ratio',
    'Worker busy ratio (0-1) as integer mill ratio; >950 = saturated',
    ['worker'],
    { since: '1.1.0' },
  ),
} as const;

/** The way from the frontend to a worker and back. */
export const REQUEST_PLANE = {
  queueSeconds: histogram(
    'dynamo_request_plane_queue_seconds',
    'Time from generate() entry to send_request() (seconds)',
    SHORT_S,
    [],
    { since: '1.1.0' },
  ),
  sendSeconds: histogram(
    'dynamo_request_plane_send_seconds',
    'Time for send_request() to complete (seconds)',
    SHORT_S,
    [],
    { since: '1.1.0' },
  ),
  roundtripTtftSeconds: histogram(
    'dynamo_request_plane_roundtrip_ttft_seconds',
    'Time from send_request() to first response item (seconds)',
    ROUNDTRIP_S,
    [],
    { since: '1.1.0' },
  ),
  inflightRequests: gauge(
    'dynamo_request_plane_inflight_requests',
    'Currently in-flight requests at AddressedPushRouter',
    [],
    { since: '1.1.0' },
  ),
} as const;
