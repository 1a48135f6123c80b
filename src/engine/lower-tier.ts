import type { StorageTier } from '../kv/event.ts';
import { BlockPool } from './block-pool.ts';
import type { Sequence } from './sequence.ts';
import { TierLink } from './tier-link.ts';

export interface LowerTierOptions {
  readonly name: StorageTier;
  readonly blocks: number;
  readonly blockBytes: number;
  /** GB/s from and to the tier above. */
  readonly storeGBps: number;
  readonly loadGBps: number;
  /** For so many blocks the link may have been used ahead of need. */
  readonly aheadBlocks: number;
}

/** What putting blocks into a tier came to. */
export interface TierChanges {
  /** Hashes that it holds and did not hold before. */
  readonly stored: readonly bigint[];
  /** Hashes that it held before and does not hold any more. */
  readonly removed: readonly bigint[];
  /** All that had to make room, whether it was there before or came with the same put. */
  readonly displaced: readonly bigint[];
}

/** One tier below the device: blocks by hash, the least recently used of which make room, and the links to the tier above. */
export class LowerTier {
  readonly name: StorageTier;
  readonly pool: BlockPool;
  readonly loads: TierLink;
  readonly #stores: TierLink;
  readonly #blockBytes: number;
  readonly #aheadNs: number;

  constructor({ name, blocks, blockBytes, storeGBps, loadGBps, aheadBlocks }: LowerTierOptions) {
    this.name = name;
    this.pool = new BlockPool(blocks);
    this.#stores = new TierLink(storeGBps);
    this.loads = new TierLink(loadGBps);
    this.#blockBytes = blockBytes;
    this.#aheadNs = aheadBlocks * this.#stores.durationNs(blockBytes);
  }

  /** Slot of a block of a sequence, or -1. */
  find(sequence: Sequence, block: number): number {
    return this.pool.find(sequence.lowWord(block), sequence.highWord(block));
  }

  /** Counts a block as used now. */
  touch(slot: number): void {
    this.pool.hold(slot);
    this.pool.release(slot);
  }

  /** Takes blocks in, as far as the link had time for them; those that are here count as used. */
  put(hashes: readonly bigint[], nowNs: number): TierChanges {
    /** Whether each hash was here before. */
    const before = new Map<bigint, boolean>();
    for (const hash of hashes) {
      const low = Number(hash & 0xffff_ffffn);
      const high = Number(hash >> 32n);
      const known = this.pool.find(low, high);
      if (known >= 0) this.touch(known);
      else if (this.pool.available > 0 && this.#stores.takeBy(nowNs, nowNs - this.#aheadNs, this.#blockBytes))
        this.#store(hash, low, high, before);
    }
    const isHere = (hash: bigint): boolean =>
      this.pool.find(Number(hash & 0xffff_ffffn), Number(hash >> 32n)) >= 0;
    const displaced = [...before.keys()].filter((hash) => !isHere(hash));
    return {
      stored: [...before].filter(([hash, was]) => !was && isHere(hash)).map(([hash]) => hash),
      removed: displaced.filter((hash) => before.get(hash)),
      displaced,
    };
  }

  storeNs(blocks: number): number {
    return this.#stores.durationNs(blocks * this.#blockBytes);
  }

  clear(): void {
    this.pool.makeRoom(this.pool.total, () => {});
  }

  #store(hash: bigint, low: number, high: number, before: Map<bigint, boolean>): void {
    this.pool.makeRoom(1, (slot) => {
      const victim = this.pool.hashOf(slot);
      if (!before.has(victim)) before.set(victim, true);
    });
    if (!before.has(hash)) before.set(hash, false);
    const slot = this.pool.take();
    this.pool.publish(slot, low, high);
    this.pool.release(slot);
  }
}
