import { counter, gauge } from './spec.ts';

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

/** The logical block pools. */
export const KVBM_POOL = {
  allocationsTotal: counter('kvbm_allocations_total', 'Total blocks allocated from pools', ['pool'], {
    since: '1.1.0',
  }),
  allocationsFromResetTotal: counter(
    'kvbm_allocations_from_reset_total',
    'Total blocks allocated from the reset pool',
    ['pool'],
    { since: '1.1.0' },
  ),
  evictionsTotal: counter('kvbm_evictions_total', 'Total blocks evicted from inactive pool', ['pool'], {
    since: '1.1.0',
  }),
  registrationsTotal: counter(
    'kvbm_registrations_total',
    'Total blocks registered (CompleteBlock -> ImmutableBlock)',
    ['pool'],
    { since: '1.1.0' },
  ),
  duplicateBlocksTotal: counter(
    'kvbm_duplicate_blocks_total',
    'Total duplicate blocks created (Allow policy)',
    ['pool'],
    { since: '1.1.0' },
  ),
  registrationDedupTotal: counter(
    'kvbm_registration_dedup_total',
    'Total block registrations deduplicated (Reject policy)',
    ['pool'],
    { since: '1.1.0' },
  ),
  stagingsTotal: counter('kvbm_stagings_total', 'Total MutableBlock -> CompleteBlock transitions', ['pool'], {
    since: '1.1.0',
  }),
  matchHashesRequestedTotal: counter(
    'kvbm_match_hashes_requested_total',
    'Total input hash occurrences requested in match_blocks and match_blocks_scattered calls',
    ['pool'],
    { since: '1.1.0' },
  ),
  matchBlocksReturnedTotal: counter(
    'kvbm_match_blocks_returned_total',
    'Total block hit occurrences returned from match_blocks and match_blocks_scattered calls',
    ['pool'],
    { since: '1.1.0' },
  ),
  scanHashesRequestedTotal: counter(
    'kvbm_scan_hashes_requested_total',
    'Total input hash occurrences requested in scan_matches calls',
    ['pool'],
    { since: '1.1.0' },
  ),
  scanBlocksReturnedTotal: counter(
    'kvbm_scan_blocks_returned_total',
    'Total distinct matching hashes returned from scan_matches calls',
    ['pool'],
    { since: '1.1.0' },
  ),
  inflightMutable: gauge('kvbm_inflight_mutable', 'Current MutableBlocks held outside pool', ['pool'], {
    since: '1.1.0',
  }),
  inflightImmutable: gauge('kvbm_inflight_immutable', 'Current ImmutableBlocks held outside pool', ['pool'], {
    since: '1.1.0',
  }),
  resetPoolSize: gauge('kvbm_reset_pool_size', 'Current reset pool size', ['pool'], { since: '1.1.0' }),
  inactivePoolSize: gauge('kvbm_inactive_pool_size', 'Current inactive pool size', ['pool'], {
    since: '1.1.0',
  }),
} as const;
