import { exponentialBuckets } from '../buckets.ts';
import { counter, histogram } from '../spec.ts';

const ENGINE = ['engine', 'model_name'] as const;
const XFER_S = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 5];
const POST_S = [0.001, ...XFER_S];
/** 2 KiB to 8 GiB. */
const SIZE_BYTES = exponentialBuckets(2 ** 11, 4, 12);
const DESCRIPTORS = [10, 20, 30, 50, 75, 100, 200, 400, 1000, 2000, 4000, 10_000, 20_000, 50_000];
const OFFLOAD_BYTES = [1e6, 5e6, 1e7, 2e7, 4e7, 6e7, 8e7, 1e8, 1.5e8, 2e8];
const STORE_S = [1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2];

/** What an engine with any connector counts of what it found beyond its GPU. */
export const EXTERNAL_CACHE = {
  externalPrefixCacheQueriesTotal: counter(
    'vllm:external_prefix_cache_queries_total',
    'External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of queried tokens.',
    ENGINE,
  ),
  externalPrefixCacheHitsTotal: counter(
    'vllm:external_prefix_cache_hits_total',
    'External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of cached tokens.',
    ENGINE,
  ),
  promptTokensBySourceTotal: counter(
    'vllm:prompt_tokens_by_source_total',
    'Number of prompt tokens by source.',
    [...ENGINE, 'source'],
  ),
} as const;

/** vLLM's NIXL connector. */
export const NIXL = {
  xferTimeSeconds: histogram(
    'vllm:nixl_xfer_time_seconds',
    'Histogram of transfer duration for NIXL KV Cache transfers.',
    XFER_S,
    ENGINE,
  ),
  postTimeSeconds: histogram(
    'vllm:nixl_post_time_seconds',
    'Histogram of transfer post time for NIXL KV Cache transfers.',
    POST_S,
    ENGINE,
  ),
  bytesTransferred: histogram(
    'vllm:nixl_bytes_transferred',
    'Histogram of bytes transferred per NIXL KV Cache transfers.',
    SIZE_BYTES,
    ENGINE,
  ),
  numDescriptors: histogram(
    'vllm:nixl_num_descriptors',
    'Histogram of number of descriptors per NIXL  KV Cache transfers.',
    DESCRIPTORS,
    ENGINE,
  ),
  numFailedTransfersTotal: counter(
    'vllm:nixl_num_failed_transfers_total',
    'Number of failed NIXL KV Cache transfers.',
    ENGINE,
  ),
  numFailedNotificationsTotal: counter(
    'vllm:nixl_num_failed_notifications_total',
    'Number of failed NIXL KV Cache notifications.',
    ENGINE,
  ),
  numKvExpiredReqsTotal: counter(
    'vllm:nixl_num_kv_expired_reqs_total',
    'Number of requests that had their KV expire. NOTE: This metric is tracked on the P instance.',
    ENGINE,
  ),
} as const;

/** Of vLLM's NIXL connector since 0.32; there once an engine of such a version has told of itself. */
export const NIXL_NEWER = {
  numNotificationsAfterExpiryTotal: counter(
    'vllm:nixl_num_notifications_after_expiry_total',
    'Notifications of transfers whose lease had run out, one for each rank: blocks may have been reused meanwhile',
    ENGINE,
  ),
} as const;

/** vLLM's Mooncake connector, from June 2026 on. */
export const MOONCAKE = {
  xferTimeSeconds: histogram(
    'vllm:mooncake_xfer_time_seconds',
    'Time of a transfer of KV cache by Mooncake',
    XFER_S,
    ENGINE,
  ),
  bytesTransferred: histogram(
    'vllm:mooncake_bytes_transferred',
    'Size of a transfer of KV cache by Mooncake in bytes',
    SIZE_BYTES,
    ENGINE,
  ),
  numDescriptors: histogram(
    'vllm:mooncake_num_descriptors',
    'Descriptors of a transfer of KV cache by Mooncake',
    DESCRIPTORS,
    ENGINE,
  ),
  numFailedTransfersTotal: counter(
    'vllm:mooncake_num_failed_transfers_total',
    'Transfers by Mooncake that failed',
    ENGINE,
  ),
  numFailedRecvsTotal: counter(
    'vllm:mooncake_num_failed_recvs_total',
    'Receptions by Mooncake that failed',
    ENGINE,
  ),
  numKvExpiredReqsTotal: counter(
    'vllm:mooncake_num_kv_expired_reqs_total',
    'Requests whose KV expired before Mooncake fetched it',
    ENGINE,
  ),
} as const;

const OPERATION = ['engine', 'model_name', 'operation', 'status'] as const;

/** vLLM's Mooncake store connector, from mid 2026 on. */
export const MOONCAKE_STORE = {
  operationTimeSeconds: histogram(
    'vllm:mooncake_store_operation_time_seconds',
    'Time of an operation of the Mooncake store',
    STORE_S,
    OPERATION,
  ),
  operationTotal: counter(
    'vllm:mooncake_store_operation_total',
    'Operations of the Mooncake store',
    OPERATION,
  ),
  keysTotal: counter(
    'vllm:mooncake_store_operation_keys_total',
    'Keys of operations of the Mooncake store',
    OPERATION,
  ),
  bytesTotal: counter(
    'vllm:mooncake_store_operation_bytes_total',
    'Bytes of operations of the Mooncake store',
    OPERATION,
  ),
  failedKeysTotal: counter(
    'vllm:mooncake_store_operation_failed_keys_total',
    'Keys that operations of the Mooncake store failed for',
    OPERATION,
  ),
} as const;

const TRANSFER_TYPE = ['engine', 'model_name', 'transfer_type'] as const;

/** vLLM's offloading connectors. */
export const OFFLOAD = {
  totalBytesTotal: counter(
    'vllm:kv_offload_total_bytes_total',
    'Number of bytes offloaded by KV connector',
    TRANSFER_TYPE,
  ),
  totalTimeTotal: counter(
    'vllm:kv_offload_total_time_total',
    'Total time measured by all KV offloading operations',
    TRANSFER_TYPE,
  ),
  size: histogram(
    'vllm:kv_offload_size',
    'Histogram of KV offload transfer size, in bytes.',
    OFFLOAD_BYTES,
    TRANSFER_TYPE,
  ),
} as const;

/** vLLM's HF3FS connector. */
export const HF3FS = {
  saveDurationSeconds: histogram(
    'vllm:hf3fs_save_duration_seconds',
    'Histogram of save duration for HF3FSKVConnector.',
    POST_S,
    ENGINE,
  ),
  loadDurationSeconds: histogram(
    'vllm:hf3fs_load_duration_seconds',
    'Histogram of load duration for HF3FSKVConnector.',
    POST_S,
    ENGINE,
  ),
  numFailedSaveTotal: counter('vllm:hf3fs_num_failed_save_total', 'Number of failed HF3FS KV save.', ENGINE),
  numFailedLoadTotal: counter('vllm:hf3fs_num_failed_load_total', 'Number of failed HF3FS KV load.', ENGINE),
} as const;
