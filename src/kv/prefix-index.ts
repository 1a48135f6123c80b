import type { KvEvent } from './event.ts';
import type { Overlaps } from './overlap.ts';

/** What the router needs of an index of cached blocks; `KvIndex` is one. */
export interface PrefixIndex {
  /** Applies one change of a rank's cache; the result names what became of it. */
  apply(rank: number, event: KvEvent): string;
  /** Overlaps of a prompt on every rank, valid until the next call. */
  match(sequence: BigUint64Array): Overlaps;
  removeRank(rank: number): void;
  /** Blocks a rank holds in all. */
  residentBlocks?(rank: number): number;
}
