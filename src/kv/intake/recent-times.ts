const KEPT = 1024;

/** When each of the latest batches of a publisher was published, by number: a restarted one uses numbers again. */
export class RecentTimes {
  readonly #seqs = new Float64Array(KEPT).fill(-1);
  readonly #timesS = new Float64Array(KEPT);

  set(seq: number, timeS: number): void {
    this.#seqs[seq % KEPT] = seq;
    this.#timesS[seq % KEPT] = timeS;
  }

  /** Undefined for a number that is not among the latest. */
  of(seq: number): number | undefined {
    return this.#seqs[seq % KEPT] === seq ? this.#timesS[seq % KEPT] : undefined;
  }

  clear(): void {
    this.#seqs.fill(-1);
  }
}
