import { counter, gauge } from '../spec.ts';

/** Bookings shared with other routers of the same workers. */
export const REPLICA = {
  peers: gauge('kvasir_replica_peers', 'Other routers that share their bookings with this one', [
    'model',
    'worker_type',
  ]),
  bookings: gauge('kvasir_replica_bookings', 'Requests that other routers have booked', [
    'model',
    'worker_type',
  ]),
  missingChanges: gauge(
    'kvasir_replica_missing_changes',
    'Changes of bookings that a peer is known to have made and that are not here yet',
    ['model', 'peer', 'worker_type'],
  ),
  lagSeconds: gauge(
    'kvasir_replica_lag_seconds',
    'Age of the latest message of a peer when it came, by both wall clocks',
    ['model', 'peer', 'worker_type'],
  ),
  gapsTotal: counter(
    'kvasir_replica_gaps_total',
    'Breaks in the sequence of a peer’s changes, all mended by asking',
    ['model', 'worker_type'],
  ),
  changesTotal: counter(
    'kvasir_replica_changes_total',
    'Changes of bookings that were told (out) or heard (in)',
    ['direction', 'model', 'worker_type'],
  ),
  snapshotsTotal: counter(
    'kvasir_replica_snapshots_total',
    'All bookings of a router, told (out) or heard (in) at once',
    ['direction', 'model', 'worker_type'],
  ),
  peersLostTotal: counter('kvasir_replica_peers_lost_total', 'Peers whose bookings were dropped, by reason', [
    'model',
    'reason',
    'worker_type',
  ]),
  droppedMessagesTotal: counter(
    'kvasir_replica_dropped_messages_total',
    'Messages to peers that could not be sent',
    ['model', 'worker_type'],
  ),
  ignoredMessagesTotal: counter(
    'kvasir_replica_ignored_messages_total',
    'Messages of peers that were left alone, by reason',
    ['model', 'reason', 'worker_type'],
  ),
} as const;

/** How workers are found. */
export const DISCOVERY = {
  up: gauge('kvasir_discovery_up', 'Whether changes of the fleet would be noticed now (1 = yes)', ['kind']),
} as const;
