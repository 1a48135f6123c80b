import { counter, type FamilySpec, gauge, histogram } from '../spec.ts';

const ENGINE = ['engine', 'model_name'] as const;
const SIZE_BYTES = [1e6, 5e6, 1e7, 2e7, 4e7, 6e7, 8e7, 1e8, 1.5e8, 2e8];
const SYNC_S = [1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1];
const ASYNC_S = [1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

/** vLLM's offloading connector since mid 2026, by the names that its self-describing payloads have. */
export const OFFLOAD_FLAT = {
  loadBytesTotal: counter(
    'vllm:kv_offload_load_bytes_total',
    'Bytes brought back from offload storage',
    ENGINE,
  ),
  loadTimeTotal: counter(
    'vllm:kv_offload_load_time_total',
    'Time of bringing KV back from offload storage, in seconds',
    ENGINE,
  ),
  loadSize: histogram(
    'vllm:kv_offload_load_size',
    'Size of an operation that brings KV back from offload storage, in bytes',
    SIZE_BYTES,
    ENGINE,
  ),
  storeBytesTotal: counter('vllm:kv_offload_store_bytes_total', 'Bytes put into offload storage', ENGINE),
  storeTimeTotal: counter(
    'vllm:kv_offload_store_time_total',
    'Time of putting KV into offload storage, in seconds',
    ENGINE,
  ),
  storeSize: histogram(
    'vllm:kv_offload_store_size',
    'Size of an operation that puts KV into offload storage, in bytes',
    SIZE_BYTES,
    ENGINE,
  ),
  lookupSyncDelaySeconds: histogram(
    'vllm:kv_offload_lookup_sync_delay_seconds',
    'Time of one lookup in offload storage',
    SYNC_S,
    ENGINE,
  ),
  lookupAsyncDelaySeconds: histogram(
    'vllm:kv_offload_lookup_async_delay_seconds',
    'Time from the first deferred lookup of a request in offload storage to its answer',
    ASYNC_S,
    ENGINE,
  ),
  allocationFailureTotal: counter(
    'vllm:kv_offload_allocation_failure_total',
    'Stores for which offload storage had no room',
    ENGINE,
  ),
  storesSkippedTotal: counter(
    'vllm:kv_offload_stores_skipped_total',
    'Stores into offload storage that were left out',
    ENGINE,
  ),
  cpuCacheUsage: gauge(
    'vllm:kv_offload_cpu_cache_usage_perc',
    'Share of the CPU’s KV cache that transfers hold, 0 to 1',
    ENGINE,
  ),
  cpuCacheWriteUsage: gauge(
    'vllm:kv_offload_cpu_cache_write_usage_perc',
    'Share of the CPU’s KV cache that stores under way hold, 0 to 1',
    ENGINE,
  ),
  cpuCacheReadUsage: gauge(
    'vllm:kv_offload_cpu_cache_read_usage_perc',
    'Share of the CPU’s KV cache that loads under way hold, 0 to 1',
    ENGINE,
  ),
} as const satisfies Record<string, FamilySpec>;
