import { BlockPool } from './block-pool.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { EventLog } from './event-log.ts';
import { type LowerTiers, lowerTiers } from './lower-tiers.ts';
import type { Sequence } from './sequence.ts';

/** The pool of one rank as its sequences use it: prefix lookup, growth, visibility, release; logs what changes. */
export class KvCache {
  readonly pool: BlockPool;
  /** Where blocks go that are evicted. */
  readonly below: LowerTiers | undefined;
  readonly #blockSize: number;
  readonly #caching: boolean;
  readonly #parentsFirst: boolean;
  readonly #log: EventLog;

  constructor(settings: EngineSettings, log: EventLog) {
    this.pool = new BlockPool(settings.numGpuBlocks);
    this.#blockSize = settings.blockSize;
    this.#caching = settings.enablePrefixCaching;
    this.#parentsFirst = settings.backend === 'sglang';
    this.#log = log;
    this.below = lowerTiers(settings, log);
  }

  /** Slots of the visible leading blocks of a sequence, at most `limit`; does not hold them. */
  findPrefix(sequence: Sequence, limit: number): number[] {
    const slots: number[] = [];
    if (!this.#caching) return slots;
    for (let block = 0; block < limit; block++) {
      const slot = this.#findBlock(sequence, block);
      if (slot < 0) break;
      slots.push(slot);
    }
    return slots;
  }

  /** Starts a sequence on a cached prefix. */
  adopt(sequence: Sequence, slots: readonly number[]): void {
    for (const slot of slots) {
      this.pool.hold(slot);
      sequence.slots.push(slot);
    }
    sequence.published = slots.length;
    sequence.computed = slots.length * this.#blockSize;
  }

  /** Adds blocks to a sequence, evicting what free room lacks; the caller has seen that they are available. */
  grow(sequence: Sequence, count: number): void {
    this.makeRoom(count);
    for (let i = 0; i < count; i++) sequence.slots.push(this.pool.take());
  }

  makeRoom(count: number): void {
    if (count <= this.pool.free) return;
    const removed: bigint[] = [];
    const heard = this.#log.enabled || this.below !== undefined;
    this.pool.makeRoom(count, (slot, wasLast) => {
      if (wasLast && heard) removed.push(this.pool.hashOf(slot));
    });
    this.below?.store(removed);
    // Evicted tail first; SGLang tells the pages of a cut leaf in their order.
    this.#log.removed(this.#parentsFirst ? removed.reverse() : removed);
  }

  /** Drops all blocks, in every tier; none may be held. */
  clear(): void {
    this.pool.makeRoom(this.pool.total, () => {});
    this.below?.clear();
    this.#log.cleared();
  }

  /** Shows the blocks that a sequence has filled. Copies of blocks that are visible already are not told. */
  publish(sequence: Sequence): void {
    if (!this.#caching) return;
    const full = Math.floor(sequence.computed / this.#blockSize);
    if (full <= sequence.published) return;
    let runStart = sequence.published;
    for (let block = sequence.published; block < full; block++) {
      if (this.#publishBlock(sequence, block)) continue;
      if (block > runStart) this.#log.stored(sequence, runStart, block);
      runStart = block + 1;
    }
    if (full > runStart) this.#log.stored(sequence, runStart, full);
    sequence.published = full;
  }

  /**
   * Shows the blocks that the first `tokens` tokens fill, each hash once: what is visible already is shared, and the
   * own copy is free again.
   */
  publishOnce(sequence: Sequence, tokens: number): void {
    const full = Math.floor(tokens / this.#blockSize);
    if (!this.#caching || full <= sequence.published) return;
    let runStart = sequence.published;
    for (let block = sequence.published; block < full; block++) {
      const visible = this.#findBlock(sequence, block);
      if (visible < 0) {
        this.#publishBlock(sequence, block);
        continue;
      }
      this.pool.hold(visible);
      this.pool.release(sequence.slots[block]!);
      sequence.slots[block] = visible;
      if (block > runStart) this.#log.stored(sequence, runStart, block);
      runStart = block + 1;
    }
    if (full > runStart) this.#log.stored(sequence, runStart, full);
    sequence.published = full;
  }

  /** The first blocks of a sequence are filled, by what was loaded from below. */
  filled(sequence: Sequence, blocks: number): void {
    sequence.computed = blocks * this.#blockSize;
    this.publish(sequence);
  }

  /** Gives back all blocks, tail first, so that the least useful are evicted first; the sequence starts over. */
  release(sequence: Sequence): void {
    for (let i = sequence.slots.length - 1; i >= 0; i--) this.pool.release(sequence.slots[i]!);
    sequence.slots.length = 0;
    sequence.published = 0;
    sequence.computed = 0;
  }

  /** A visible copy of a block of the sequence, or -1. */
  #findBlock(sequence: Sequence, block: number): number {
    return this.pool.find(sequence.lowWord(block), sequence.highWord(block));
  }

  #publishBlock(sequence: Sequence, block: number): boolean {
    return this.pool.publish(sequence.slots[block]!, sequence.lowWord(block), sequence.highWord(block));
  }
}
