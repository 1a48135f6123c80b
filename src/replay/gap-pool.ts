// A gap in ns and how often it occurred share one double: 40 bits for the gap, 13 for the count.
const MAX_COUNT = 2 ** 13 - 1;
const COUNT_RANGE = 2 ** 13;
const MAX_PACKED_GAP = 2 ** 40;

/** Gaps between tokens, pooled over all requests: exact order statistics at 8 bytes per distinct entry. */
export class GapPool {
  #packed = new Float64Array(1024);
  #used = 0;
  /** Gaps too long to pack (over 18 minutes). */
  readonly #long: number[] = [];
  #count = 0;
  #longest = 0;

  get count(): number {
    return this.#count;
  }

  get longestNs(): number {
    return this.#longest;
  }

  /** Adds a gap that `times` requests saw. */
  add(gapNs: number, times = 1): void {
    this.#count += times;
    if (gapNs > this.#longest) this.#longest = gapNs;
    if (gapNs >= MAX_PACKED_GAP) {
      for (let i = 0; i < times; i++) this.#long.push(gapNs);
      return;
    }
    for (let left = times; left > 0; left -= MAX_COUNT) {
      if (this.#used === this.#packed.length) {
        const larger = new Float64Array(2 * this.#used);
        larger.set(this.#packed);
        this.#packed = larger;
      }
      this.#packed[this.#used++] = gapNs * COUNT_RANGE + Math.min(left, MAX_COUNT);
    }
  }

  /** Visits distinct entries in ascending order of gap: (gap in ns, times). */
  forEachAscending(visit: (gapNs: number, times: number) => void): void {
    const sorted = this.#packed.subarray(0, this.#used).sort();
    for (const packed of sorted) {
      const times = packed % COUNT_RANGE;
      visit((packed - times) / COUNT_RANGE, times);
    }
    for (const gap of this.#long.sort((a, b) => a - b)) visit(gap, 1);
  }
}
