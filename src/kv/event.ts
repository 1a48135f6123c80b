/** One data-parallel rank of one worker: what every score, load and cached block belongs to. */
export interface WorkerKey {
  /** u64 as decimal text: ids exceed 2^53. */
  readonly workerId: string;
  readonly dpRank: number;
}

/** Where a block is held; `device` unless an engine says otherwise. */
export type StorageTier = 'device' | 'host_pinned' | 'disk' | 'external';

/**
 * A change of one rank's cache, in the router's terms. Hashes are bulk u64 arrays of equal length.
 * `blockHashes` are the engine's own opaque ids; `localHashes` are content hashes of full blocks
 * (see `kv/hash`), from which the index derives the chain.
 */
export type KvEvent = KvStored | KvRemoved | KvCleared;

export interface KvStored {
  readonly kind: 'stored';
  readonly tier?: StorageTier;
  /** The engine's id of the block before the first one; undefined at the root. */
  readonly parentHash: bigint | undefined;
  readonly blockHashes: BigUint64Array;
  readonly localHashes: BigUint64Array;
}

export interface KvRemoved {
  readonly kind: 'removed';
  readonly tier?: StorageTier;
  readonly blockHashes: BigUint64Array;
}

/** All blocks of the rank are gone, in every tier. */
interface KvCleared {
  readonly kind: 'cleared';
}
