import { exponentialBuckets } from '../buckets.ts';
import { type CounterSpec, counter, type GaugeSpec, gauge, type HistogramSpec, histogram } from '../spec.ts';

const ENGINE = ['engine', 'model_name'] as const;
const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const PHASE_SECONDS = exponentialBuckets(1e-5, 2, 20);
const TOKENS_PER_S = [1, 8, ...exponentialBuckets(16, 2, 13)];
const REMOTE_MS = [1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
const HIT_RATE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const MINUTES = [0, 1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000];

/** LMCache's exporter: what it counts, by the names that its payloads have. */
export const LMCACHE_COUNTS: Readonly<Record<string, CounterSpec>> = {
  num_retrieve_requests: counter(
    'lmcache:num_retrieve_requests_total',
    'Retrievals asked of LMCache',
    ENGINE,
  ),
  num_store_requests: counter('lmcache:num_store_requests_total', 'Stores asked of LMCache', ENGINE),
  num_lookup_requests: counter('lmcache:num_lookup_requests_total', 'Lookups asked of LMCache', ENGINE),
  num_requested_tokens: counter(
    'lmcache:num_requested_tokens_total',
    'Tokens that LMCache was asked to retrieve',
    ENGINE,
  ),
  num_hit_tokens: counter('lmcache:num_hit_tokens_total', 'Tokens that LMCache retrieved', ENGINE),
  num_stored_tokens: counter('lmcache:num_stored_tokens_total', 'Tokens that LMCache stored', ENGINE),
  num_lookup_tokens: counter(
    'lmcache:num_lookup_tokens_total',
    'Tokens that LMCache was asked to look up',
    ENGINE,
  ),
  num_lookup_hits: counter('lmcache:num_lookup_hits_total', 'Tokens found by lookups of LMCache', ENGINE),
  num_vllm_hit_tokens: counter(
    'lmcache:num_vllm_hit_tokens_total',
    'Tokens that the engine had cached itself',
    ENGINE,
  ),
  num_prompt_tokens: counter('lmcache:num_prompt_tokens_total', 'Tokens of prompts that LMCache saw', ENGINE),
  num_remote_read_requests: counter(
    'lmcache:num_remote_read_requests_total',
    'Reads of LMCache from its remote store',
    ENGINE,
  ),
  num_remote_read_bytes: counter(
    'lmcache:num_remote_read_bytes_total',
    'Bytes that LMCache read from its remote store',
    ENGINE,
  ),
  num_remote_write_requests: counter(
    'lmcache:num_remote_write_requests_total',
    'Writes of LMCache to its remote store',
    ENGINE,
  ),
  num_remote_write_bytes: counter(
    'lmcache:num_remote_write_bytes_total',
    'Bytes that LMCache wrote to its remote store',
    ENGINE,
  ),
  local_cpu_evict_count: counter(
    'lmcache:local_cpu_evict_count_total',
    'Evictions from LMCache’s memory',
    ENGINE,
  ),
  local_cpu_evict_keys_count: counter(
    'lmcache:local_cpu_evict_keys_count_total',
    'Keys evicted from LMCache’s memory',
    ENGINE,
  ),
  local_cpu_evict_failed_count: counter(
    'lmcache:local_cpu_evict_failed_count_total',
    'Evictions from LMCache’s memory that failed',
    ENGINE,
  ),
  forced_unpin_count: counter(
    'lmcache:forced_unpin_count_total',
    'Objects of LMCache that were unpinned by force',
    ENGINE,
  ),
  lookup_0_hit_requests: counter(
    'lmcache:lookup_0_hit_requests_total',
    'Lookups of LMCache that found nothing',
    ENGINE,
  ),
  num_slow_retrieval_by_time: counter(
    'lmcache:num_slow_retrieval_by_time_total',
    'Retrievals of LMCache that took too long',
    ENGINE,
  ),
  num_slow_retrieval_by_speed: counter(
    'lmcache:num_slow_retrieval_by_speed_total',
    'Retrievals of LMCache that were too slow',
    ENGINE,
  ),
  remote_ping_errors: counter(
    'lmcache:remote_ping_errors_total',
    'Pings of LMCache’s remote store that failed',
    ENGINE,
  ),
  remote_ping_successes: counter(
    'lmcache:remote_ping_successes_total',
    'Pings of LMCache’s remote store that succeeded',
    ENGINE,
  ),
};

/** What it has at a moment. */
export const LMCACHE_GAUGES: Readonly<Record<string, GaugeSpec>> = {
  retrieve_hit_rate: gauge(
    'lmcache:retrieve_hit_rate',
    'Share of asked tokens that LMCache retrieved, 0 to 1',
    ENGINE,
  ),
  lookup_hit_rate: gauge(
    'lmcache:lookup_hit_rate',
    'Share of looked up tokens that LMCache found, 0 to 1',
    ENGINE,
  ),
  local_cache_usage: gauge('lmcache:local_cache_usage', 'Bytes in LMCache’s memory', ENGINE),
  remote_cache_usage: gauge('lmcache:remote_cache_usage', 'Bytes in LMCache’s remote store', ENGINE),
  local_storage_usage: gauge('lmcache:local_storage_usage', 'Bytes on LMCache’s disk', ENGINE),
  active_memory_objs_count: gauge(
    'lmcache:active_memory_objs_count',
    'Memory objects of LMCache in use',
    ENGINE,
  ),
  pinned_memory_objs_count: gauge(
    'lmcache:pinned_memory_objs_count',
    'Memory objects of LMCache that are pinned',
    ENGINE,
  ),
  remote_ping_latency: gauge(
    'lmcache:remote_ping_latency',
    'Time of the last ping of LMCache’s remote store in milliseconds',
    ENGINE,
  ),
  remote_ping_error_code: gauge(
    'lmcache:remote_ping_error_code',
    'What became of the last ping of LMCache’s remote store, 0 if well',
    ENGINE,
  ),
  lmcache_is_healthy: gauge('lmcache:lmcache_is_healthy', '1 while LMCache works', ENGINE),
};

/** What it measures of each operation. */
export const LMCACHE_SAMPLES: Readonly<Record<string, HistogramSpec>> = {
  time_to_retrieve: histogram('lmcache:time_to_retrieve', 'Time of a retrieval in seconds', SECONDS, ENGINE),
  time_to_store: histogram('lmcache:time_to_store', 'Time of a store in seconds', SECONDS, ENGINE),
  p2p_time_to_transfer: histogram(
    'lmcache:p2p_time_to_transfer',
    'Time of a transfer between peers in seconds',
    SECONDS,
    ENGINE,
  ),
  time_to_lookup: histogram('lmcache:time_to_lookup', 'Time of a lookup in seconds', PHASE_SECONDS, ENGINE),
  retrieve_speed: histogram(
    'lmcache:retrieve_speed',
    'Speed of a retrieval in tokens per second',
    TOKENS_PER_S,
    ENGINE,
  ),
  store_speed: histogram(
    'lmcache:store_speed',
    'Speed of a store in tokens per second',
    TOKENS_PER_S,
    ENGINE,
  ),
  p2p_transfer_speed: histogram(
    'lmcache:p2p_transfer_speed',
    'Speed of a transfer between peers in tokens per second',
    TOKENS_PER_S,
    ENGINE,
  ),
  remote_time_to_get: histogram(
    'lmcache:remote_time_to_get',
    'Time of a read from the remote store in milliseconds',
    REMOTE_MS,
    ENGINE,
  ),
  remote_time_to_put: histogram(
    'lmcache:remote_time_to_put',
    'Time of a write to the remote store in milliseconds',
    REMOTE_MS,
    ENGINE,
  ),
  remote_time_to_get_sync: histogram(
    'lmcache:remote_time_to_get_sync',
    'Time of a read from the remote store that the engine waits for, in milliseconds',
    REMOTE_MS,
    ENGINE,
  ),
  request_cache_hit_rate: histogram(
    'lmcache:request_cache_hit_rate',
    'Share of a request’s tokens that LMCache had, 0 to 1',
    HIT_RATE,
    ENGINE,
  ),
  request_cache_lifespan: histogram(
    'lmcache:request_cache_lifespan',
    'Age of what a request found, in minutes',
    MINUTES,
    ENGINE,
  ),
};

export const LMCACHE = { ...LMCACHE_COUNTS, ...LMCACHE_GAUGES, ...LMCACHE_SAMPLES };
