import { BlockDirectory } from './block-directory.ts';

const NONE = -1;
const FIRST_SLOTS = 1024;

/** used + cached + free = total. */
export interface PoolUse {
  readonly totalBlocks: number;
  readonly usedBlocks: number;
  readonly cachedBlocks: number;
  readonly freeBlocks: number;
}

/**
 * One rank's KV blocks. A slot is free, private to one sequence, or a cached copy of a hash with a count of the
 * sequences that hold it; unreferenced copies wait in an LRU list until their room is needed. Every operation
 * on one block is O(1). Invariant: used + cached + free = total, used counting reservations.
 */
export class BlockPool {
  readonly total: number;
  /** Rises whenever a lookup could find more, or room may have grown. */
  version = 0;
  #slotsMade = 0;
  #freeSlots: number[] = [];
  #copies = 0;
  #cached = 0;
  #reserved = 0;
  // LRU list of unreferenced copies, oldest first.
  #oldest = NONE;
  #newest = NONE;
  #newer: Int32Array;
  #older: Int32Array;
  #references: Int32Array;
  readonly #directory: BlockDirectory;

  constructor(total: number) {
    this.total = total;
    const slots = Math.min(total, FIRST_SLOTS);
    this.#newer = new Int32Array(slots);
    this.#older = new Int32Array(slots);
    this.#references = new Int32Array(slots);
    this.#directory = new BlockDirectory(slots);
  }

  /** Blocks that sequences hold, and those reserved for sequences to come. */
  get used(): number {
    return this.#copies - this.#cached + this.#reserved;
  }

  /** Unreferenced copies, kept for reuse. */
  get cached(): number {
    return this.#cached;
  }

  get free(): number {
    return this.total - this.#copies - this.#reserved;
  }

  get use(): PoolUse {
    return {
      totalBlocks: this.total,
      usedBlocks: this.used,
      cachedBlocks: this.#cached,
      freeBlocks: this.free,
    };
  }

  /** Blocks that can be had, by eviction if need be. May be negative under a reservation. */
  get available(): number {
    return this.total - this.used;
  }

  /** A visible copy of the hash, one that is held if there is any; -1 if there is none. */
  find(low: number, high: number): number {
    const first = this.#directory.find(low, high);
    for (let slot = first; slot !== NONE; slot = this.#directory.nextCopy(slot)) {
      if (this.#references[slot]! > 0) return slot;
    }
    return first;
  }

  isHeld(slot: number): boolean {
    return this.#references[slot]! > 0;
  }

  /** Counts one more holder of a visible copy. */
  hold(slot: number): void {
    if (this.#references[slot]!++ === 0) {
      this.#unlink(slot);
      this.#cached--;
      this.version++;
    }
  }

  /** Makes room for `count` blocks by evicting the least recently released; the evicted slots, oldest first. */
  makeRoom(count: number, onEvicted: (slot: number, wasLast: boolean) => void): void {
    for (let lacking = count - this.free; lacking > 0; lacking--) {
      const slot = this.#oldest;
      this.#unlink(slot);
      this.#cached--;
      onEvicted(slot, this.#directory.remove(slot));
      this.#discard(slot);
    }
  }

  /** A private block; the caller has made room. */
  take(): number {
    this.#copies++;
    const slot = this.#freeSlots.pop() ?? this.#newSlot();
    this.#references[slot] = 1;
    return slot;
  }

  /** Makes a private block visible under its hash; true if no other copy of it was visible. */
  publish(slot: number, low: number, high: number): boolean {
    this.version++;
    return this.#directory.add(slot, low, high);
  }

  /** Gives up one hold: a private block is free at once, a cached one stays, newest, until its room is needed. */
  release(slot: number): void {
    this.version++;
    if (!this.#directory.has(slot)) {
      this.#discard(slot);
      return;
    }
    if (--this.#references[slot]! > 0) return;
    this.#cached++;
    this.#older[slot] = this.#newest;
    this.#newer[slot] = NONE;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }

  /** Sets blocks aside for a sequence that is yet to come; negative gives them back. */
  reserve(count: number): void {
    this.#reserved += count;
    if (count < 0) this.version++;
  }

  /** Every visible hash once, as (slot of a copy). */
  visible(): IterableIterator<number> {
    return this.#directory.heads();
  }

  hashOf(slot: number): bigint {
    return this.#directory.hashOf(slot);
  }

  #discard(slot: number): void {
    this.#copies--;
    this.#references[slot] = 0;
    this.#freeSlots.push(slot);
  }

  #unlink(slot: number): void {
    const older = this.#older[slot]!;
    const newer = this.#newer[slot]!;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }

  #newSlot(): number {
    const slot = this.#slotsMade++;
    if (slot === this.#references.length) {
      const size = Math.min(this.total, 2 * slot);
      this.#newer = grown(this.#newer, size);
      this.#older = grown(this.#older, size);
      this.#references = grown(this.#references, size);
      this.#directory.grow(size);
    }
    return slot;
  }
}

function grown(array: Int32Array, size: number): Int32Array {
  const larger = new Int32Array(size);
  larger.set(array);
  return larger;
}
