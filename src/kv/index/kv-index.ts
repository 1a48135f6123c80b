import type { KvEvent, StorageTier } from '../event.ts';
import type { Overlaps } from '../overlap.ts';

/** How an event went in; the values are those of the metric `kv_cache_events_applied{status}`. */
export type ApplyStatus =
  | 'ok'
  /** The parent is not resident on the rank: nothing was stored. */
  | 'parent_block_not_found'
  /** At least one block to remove was not resident; all others were removed. */
  | 'block_not_found'
  /** Arrays of unequal length, or a block that is its own parent: nothing was stored. */
  | 'invalid_block'
  /** The byte cap is reached and evicting made no room: the rest of the event was not stored. */
  | 'capacity_exhausted'
  /** The machine refused memory: the rest of the event was not stored. */
  | 'allocation_failed';

/** Values of the metric `kv_cache_event_warnings{warning_kind}`. */
export type ApplyWarning = 'duplicate_store';

export interface Applied {
  readonly status: ApplyStatus;
  /** `duplicate_store`: every block of the event was resident in its tier already. */
  readonly warning: ApplyWarning | undefined;
}

export interface IndexStats {
  /** Distinct blocks (prefixes) that some rank holds in some tier. */
  readonly blocks: number;
  /** Block ids resident on ranks, in whatever tiers: a block on two ranks counts twice. */
  readonly residents: number;
  /** What the index takes of the machine's memory. */
  readonly memoryBytes: number;
  /** The part of it that holds something now; the rest waits for reuse. */
  readonly usedBytes: number;
  /** `memoryBytes` never exceeds this. */
  readonly limitBytes: number;
  /** Residents dropped to stay below the limit, ever. */
  readonly evicted: number;
}

/** An event that holds for a rank. */
export interface RankEvent {
  readonly rank: number;
  readonly event: KvEvent;
}

/**
 * Which rank holds which blocks of which prefixes. Ranks are the dense ids of `Ranks`.
 *
 * Exact set semantics: a rank holds a block in a tier from the store of its id until a remove of that id in that
 * tier, whatever happens to its ancestors; an id names one block, and the latest store says which.
 */
export interface KvIndex {
  /**
   * Applies one change. A parent counts as resident in any tier. Removes go on past unknown blocks. Events of
   * ranks that were never seen are fine. `onKnown` hears the place, in a store, of each block that was in its tier
   * already: with the warning if it was all of them.
   */
  apply(rank: number, event: KvEvent, onKnown?: (place: number) => void): Applied;
  /**
   * What every rank holds of a prompt, given the chained hashes of its blocks. Ranks beyond the end of the
   * arrays hold nothing. The result is overwritten by the next call.
   */
  match(sequence: BigUint64Array): Overlaps;
  /** Forgets a rank; its id may then name another. */
  removeRank(rank: number): void;
  /** Block ids resident on the rank, in whatever tiers. */
  residentsOf(rank: number): number;
  /** Residents of the rank that were dropped for lack of memory since it was cleared: what it holds, and the index does not. */
  evictedOf(rank: number): number;
  /** Events that, applied to an empty index in order, restore this one (or one rank of it); parents first. */
  dump(rank?: number): readonly RankEvent[];
  stats(): IndexStats;
}

/** The tiers in the order in which a match walks them; a tier's place is its bit in masks. */
export const TIERS: readonly StorageTier[] = ['device', 'host_pinned', 'disk', 'external'];

const outcome = (status: ApplyStatus, warning?: ApplyWarning): Applied => Object.freeze({ status, warning });

/** The outcomes that exist, so that applying allocates none. */
export const APPLIED = Object.freeze({
  ok: outcome('ok'),
  duplicateStore: outcome('ok', 'duplicate_store'),
  parentNotFound: outcome('parent_block_not_found'),
  blockNotFound: outcome('block_not_found'),
  invalidBlock: outcome('invalid_block'),
  capacityExhausted: outcome('capacity_exhausted'),
  allocationFailed: outcome('allocation_failed'),
});
