import { counter, gauge } from '../spec.ts';

/** The block manager's transfers between tiers and its hit rates. */
export const KVBM = {
  offloadBlocksD2h: counter('kvbm_offload_blocks_d2h', 'The number of offload blocks from device to host'),
  offloadBlocksH2d: counter('kvbm_offload_blocks_h2d', 'The number of offload blocks from host to disk'),
  offloadBlocksD2d: counter(
    'kvbm_offload_blocks_d2d',
    'The number of offload blocks from device to disk (bypassing host memory)',
  ),
  offloadBlocksD2o: counter(
    'kvbm_offload_blocks_d2o',
    'The number of offload blocks from device to object storage',
  ),
  onboardBlocksH2d: counter('kvbm_onboard_blocks_h2d', 'The number of onboard blocks from host to device'),
  onboardBlocksD2d: counter('kvbm_onboard_blocks_d2d', 'The number of onboard blocks from disk to device'),
  onboardBlocksO2d: counter(
    'kvbm_onboard_blocks_o2d',
    'The number of onboard blocks from object storage to device',
  ),
  matchedTokens: counter('kvbm_matched_tokens', 'The number of matched tokens'),
  hostCacheHitRate: gauge(
    'kvbm_host_cache_hit_rate',
    'Host cache hit rate (0.0-1.0) from the sliding window',
  ),
  diskCacheHitRate: gauge(
    'kvbm_disk_cache_hit_rate',
    'Disk cache hit rate (0.0-1.0) from the sliding window',
  ),
  objectCacheHitRate: gauge(
    'kvbm_object_cache_hit_rate',
    'Object storage cache hit rate (0.0-1.0) from the sliding window',
  ),
  objectReadFailures: counter(
    'kvbm_object_read_failures',
    'The number of failed object storage read operations (blocks)',
  ),
  objectWriteFailures: counter(
    'kvbm_object_write_failures',
    'The number of failed object storage write operations (blocks)',
  ),
} as const;
