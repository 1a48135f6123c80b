import { counter, gauge, histogram } from '../spec.ts';

const SCHEDULER = ['dp_rank', 'engine_type', 'model_name', 'moe_ep_rank', 'pp_rank', 'tp_rank'] as const;
const TOKENIZER = ['engine_type', 'model_name'] as const;
const TTFT = [0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400];
const ITL = [
  0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6,
  0.8, 1, 2, 4, 6, 8,
];

/** SGLang's native families, as a simulated engine shows them. HELP texts are SGLang's where it is known to have them. */
export const SGLANG = {
  numRunningReqs: gauge('sglang:num_running_reqs', 'The number of running requests.', SCHEDULER),
  numQueueReqs: gauge('sglang:num_queue_reqs', 'The number of requests in the waiting queue.', SCHEDULER),
  tokenUsage: gauge('sglang:token_usage', 'The token usage.', SCHEDULER),
  numUsedTokens: gauge('sglang:num_used_tokens', 'The number of used tokens.', SCHEDULER),
  maxTotalNumTokens: gauge(
    'sglang:max_total_num_tokens',
    'Maximum total number of tokens in the KV cache pool.',
    SCHEDULER,
  ),
  pageSize: gauge('sglang:page_size', 'KV cache page size in tokens.', SCHEDULER),
  numPages: gauge('sglang:num_pages', 'Number of pages in the KV cache pool.', SCHEDULER),
  hicacheHostUsedTokens: gauge(
    'sglang:hicache_host_used_tokens',
    'Number of tokens currently used in the host KV cache.',
    SCHEDULER,
  ),
  hicacheHostTotalTokens: gauge(
    'sglang:hicache_host_total_tokens',
    'Total capacity of the host KV cache in tokens.',
    SCHEDULER,
  ),
  genThroughput: gauge('sglang:gen_throughput', 'The generation throughput (token/s).', SCHEDULER),
  cacheHitRate: gauge('sglang:cache_hit_rate', 'The prefix cache hit rate.', SCHEDULER),
  utilization: gauge('sglang:utilization', 'The utilization.', SCHEDULER),
  numRetractedReqs: gauge('sglang:num_retracted_reqs', 'The number of retracted requests.', SCHEDULER),
  promptTokensTotal: counter('sglang:prompt_tokens_total', 'Number of prefill tokens processed.', TOKENIZER),
  generationTokensTotal: counter(
    'sglang:generation_tokens_total',
    'Number of generation tokens processed.',
    TOKENIZER,
  ),
  cachedTokensTotal: counter(
    'sglang:cached_tokens_total',
    'Number of cached prompt tokens by source (device/host/storage).',
    ['cache_source', ...TOKENIZER],
  ),
  numRequestsTotal: counter('sglang:num_requests_total', 'Number of requests processed.', TOKENIZER),
  numAbortedRequestsTotal: counter(
    'sglang:num_aborted_requests_total',
    'Number of requests aborted.',
    TOKENIZER,
  ),
  timeToFirstTokenSeconds: histogram(
    'sglang:time_to_first_token_seconds',
    'Histogram of time to first token in seconds.',
    TTFT,
    TOKENIZER,
  ),
  interTokenLatencySeconds: histogram(
    'sglang:inter_token_latency_seconds',
    'Histogram of inter-token latency in seconds.',
    ITL,
    TOKENIZER,
  ),
  e2eRequestLatencySeconds: histogram(
    'sglang:e2e_request_latency_seconds',
    'Histogram of End-to-end request latency in seconds.',
    [...TTFT, 600, 1200, 1800, 2400],
    TOKENIZER,
  ),
} as const;
