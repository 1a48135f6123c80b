/** Why a peer's bookings were dropped. */
export type PeerEnd = 'left' | 'expired' | 'restarted';

/** Told what a replica does, for metrics and logs; every method is optional and must return quickly. */
export interface ReplicaObserver {
  /** Own changes went out. */
  published?(ops: number): void;
  /** A peer's changes came in. */
  received?(router: string, ops: number): void;
  /** Changes of a peer were missed, and are asked for. */
  gap?(router: string): void;
  snapshotSent?(router: string): void;
  snapshotLoaded?(router: string): void;
  peerJoined?(router: string): void;
  peerLeft?(router: string, end: PeerEnd): void;
  /** A message was left alone: another life of this router's own name, an older life of a peer, or too many peers. */
  ignored?(reason: 'own_name' | 'old_life' | 'too_many_peers'): void;
  /** Bookings of a former life were taken over. */
  restored?(bookings: number): void;
}
