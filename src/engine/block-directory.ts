const NONE = -1;

/**
 * Which slots hold which hash: open addressing over the low hash word (hashes are uniform already), one entry
 * per hash, its copies chained in order of arrival. Lookup, add and remove are O(1) in the number of hashes.
 */
export class BlockDirectory {
  /** Slot of a hash's first copy, or -1; power-of-two length, at most half full. */
  #table: Int32Array;
  #hashes: BigUint64Array;
  #words: Uint32Array;
  /** Next copy of the same hash; meaningless unless listed. */
  #next: Int32Array;
  #listed: Uint8Array;

  constructor(slots: number) {
    this.#table = new Int32Array(tableSize(slots)).fill(NONE);
    this.#hashes = new BigUint64Array(slots);
    this.#words = new Uint32Array(this.#hashes.buffer);
    this.#next = new Int32Array(slots);
    this.#listed = new Uint8Array(slots);
  }

  has(slot: number): boolean {
    return this.#listed[slot] === 1;
  }

  hashOf(slot: number): bigint {
    return this.#hashes[slot]!;
  }

  /** First copy of the hash, or -1. */
  find(low: number, high: number): number {
    return this.#table[this.#probe(low, high)]!;
  }

  nextCopy(slot: number): number {
    return this.#next[slot]!;
  }

  /** Lists a slot under a hash; true if it is the only copy. */
  add(slot: number, low: number, high: number): boolean {
    this.#words[2 * slot] = low;
    this.#words[2 * slot + 1] = high;
    this.#next[slot] = NONE;
    this.#listed[slot] = 1;
    const at = this.#probe(low, high);
    let last = this.#table[at]!;
    if (last === NONE) {
      this.#table[at] = slot;
      return true;
    }
    while (this.#next[last] !== NONE) last = this.#next[last]!;
    this.#next[last] = slot;
    return false;
  }

  /** Takes a slot off the list; true if no copy of its hash remains. */
  remove(slot: number): boolean {
    this.#listed[slot] = 0;
    const at = this.#probe(this.#words[2 * slot]!, this.#words[2 * slot + 1]!);
    const head = this.#table[at]!;
    if (head !== slot) {
      let before = head;
      while (this.#next[before] !== slot) before = this.#next[before]!;
      this.#next[before] = this.#next[slot]!;
      return false;
    }
    this.#table[at] = this.#next[slot]!;
    if (this.#table[at] !== NONE) return false;
    this.#closeGap(at);
    return true;
  }

  /** One slot of every listed hash. */
  *heads(): IterableIterator<number> {
    for (const slot of this.#table) if (slot !== NONE) yield slot;
  }

  /** Makes room for slot numbers below `slots`. */
  grow(slots: number): void {
    const hashes = new BigUint64Array(slots);
    hashes.set(this.#hashes);
    const next = new Int32Array(slots);
    next.set(this.#next);
    const listed = new Uint8Array(slots);
    listed.set(this.#listed);
    const heads = [...this.heads()];
    this.#hashes = hashes;
    this.#words = new Uint32Array(hashes.buffer);
    this.#next = next;
    this.#listed = listed;
    this.#table = new Int32Array(tableSize(slots)).fill(NONE);
    for (const slot of heads)
      this.#table[this.#probe(this.#words[2 * slot]!, this.#words[2 * slot + 1]!)] = slot;
  }

  /** Index of the hash's entry, or of the empty one where it would go. */
  #probe(low: number, high: number): number {
    const mask = this.#table.length - 1;
    for (let at = low & mask; ; at = (at + 1) & mask) {
      const slot = this.#table[at]!;
      if (slot === NONE || (this.#words[2 * slot] === low && this.#words[2 * slot + 1] === high)) return at;
    }
  }

  /** Backshift: moves later entries of the run into the hole, so that no tombstones are needed. */
  #closeGap(hole: number): void {
    const mask = this.#table.length - 1;
    let gap = hole;
    for (let at = (hole + 1) & mask; this.#table[at] !== NONE; at = (at + 1) & mask) {
      const home = this.#words[2 * this.#table[at]!]! & mask;
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      this.#table[gap] = this.#table[at]!;
      gap = at;
    }
    this.#table[gap] = NONE;
  }
}

function tableSize(slots: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, slots))) * 2;
}
