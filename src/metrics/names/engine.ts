import { oneTwoFiveBuckets } from '../buckets.ts';
import { counter, gauge, histogram } from '../spec.ts';

// Up to the longest context the model allows; this one is replaced by the engine's own.
const TOKENS = oneTwoFiveBuckets(40_960);
const VLLM_TTFT = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const VLLM_ITL = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const VLLM_LATENCY = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];

/** vLLM's native families, as a simulated engine shows them. */
export const VLLM = {
  numRequestsRunning: gauge('vllm:num_requests_running', 'Number of requests in model execution batches.', [
    'engine',
    'model_name',
  ]),
  numRequestsWaiting: gauge('vllm:num_requests_waiting', 'Number of requests waiting to be processed.', [
    'engine',
    'model_name',
  ]),
  kvCacheUsagePerc: gauge('vllm:kv_cache_usage_perc', 'KV-cache usage. 1 means 100 percent usage.', [
    'engine',
    'model_name',
  ]),
  prefixCacheQueriesTotal: counter(
    'vllm:prefix_cache_queries_total',
    'Prefix cache queries, in terms of number of queried tokens.',
    ['engine', 'model_name'],
  ),
  prefixCacheHitsTotal: counter(
    'vllm:prefix_cache_hits_total',
    'Prefix cache hits, in terms of number of cached tokens.',
    ['engine', 'model_name'],
  ),
  numPreemptionsTotal: counter(
    'vllm:num_preemptions_total',
    'Cumulative number of preemption from the engine.',
    ['engine', 'model_name'],
  ),
  promptTokensTotal: counter('vllm:prompt_tokens_total', 'Number of prefill tokens processed.', [
    'engine',
    'model_name',
  ]),
  promptTokensCachedTotal: counter(
    'vllm:prompt_tokens_cached_total',
    'Number of cached prompt tokens (local + external).',
    ['engine', 'model_name'],
  ),
  generationTokensTotal: counter('vllm:generation_tokens_total', 'Number of generation tokens processed.', [
    'engine',
    'model_name',
  ]),
  requestSuccessTotal: counter('vllm:request_success_total', 'Count of successfully processed requests.', [
    'engine',
    'finished_reason',
    'model_name',
  ]),
  requestPromptTokens: histogram(
    'vllm:request_prompt_tokens',
    'Number of prefill tokens processed.',
    TOKENS,
    ['engine', 'model_name'],
  ),
  requestGenerationTokens: histogram(
    'vllm:request_generation_tokens',
    'Number of generation tokens processed.',
    TOKENS,
    ['engine', 'model_name'],
  ),
  requestPrefillKvComputedTokens: histogram(
    'vllm:request_prefill_kv_computed_tokens',
    'Histogram of new KV tokens computed during prefill (excluding cached tokens).',
    TOKENS,
    ['engine', 'model_name'],
  ),
  timeToFirstTokenSeconds: histogram(
    'vllm:time_to_first_token_seconds',
    'Histogram of time to first token in seconds.',
    VLLM_TTFT,
    ['engine', 'model_name'],
  ),
  interTokenLatencySeconds: histogram(
    'vllm:inter_token_latency_seconds',
    'Histogram of inter-token latency in seconds.',
    VLLM_ITL,
    ['engine', 'model_name'],
  ),
  requestTimePerOutputTokenSeconds: histogram(
    'vllm:request_time_per_output_token_seconds',
    'Histogram of time_per_output_token_seconds per request.',
    VLLM_ITL,
    ['engine', 'model_name'],
  ),
  e2eRequestLatencySeconds: histogram(
    'vllm:e2e_request_latency_seconds',
    'Histogram of e2e request latency in seconds.',
    VLLM_LATENCY,
    ['engine', 'model_name'],
  ),
  requestQueueTimeSeconds: histogram(
    'vllm:request_queue_time_seconds',
    'Histogram of time spent in WAITING phase for request.',
    VLLM_LATENCY,
    ['engine', 'model_name'],
  ),
  requestInferenceTimeSeconds: histogram(
    'vllm:request_inference_time_seconds',
    'Histogram of time spent in RUNNING phase for request.',
    VLLM_LATENCY,
    ['engine', 'model_name'],
  ),
  requestPrefillTimeSeconds: histogram(
    'vllm:request_prefill_time_seconds',
    'Histogram of time spent in PREFILL phase for request.',
    VLLM_LATENCY,
    ['engine', 'model_name'],
  ),
  requestDecodeTimeSeconds: histogram(
    'vllm:request_decode_time_seconds',
    'Histogram of time spent in DECODE phase for request.',
    VLLM_LATENCY,
    ['engine', 'model_name'],
  ),
  specDecodeNumDraftsTotal: counter('vllm:spec_decode_num_drafts_total', 'Number of spec decoding drafts.', [
    'engine',
    'model_name',
  ]),
  specDecodeNumDraftTokensTotal: counter(
    'vllm:spec_decode_num_draft_tokens_total',
    'Number of draft tokens.',
    ['engine', 'model_name'],
  ),
  specDecodeNumAcceptedTokensTotal: counter(
    'vllm:spec_decode_num_accepted_tokens_total',
    'Number of accepted tokens.',
    ['engine', 'model_name'],
  ),
  cacheConfigInfo: gauge('vllm:cache_config_info', 'Information of the LLMEngine CacheConfig', [
    'block_size',
    'engine',
    'num_gpu_blocks',
  ]),
} as const;
