/** Lookups that the rate looks back on, as vLLM's own does on requests. */
const LOOKUPS = 1000;

/** Share of looked-up prompt tokens that were found in the cache, over the most recent lookups. */
export class HitRateWindow {
  readonly #queried = new Float64Array(LOOKUPS);
  readonly #hit = new Float64Array(LOOKUPS);
  #next = 0;
  #queriedSum = 0;
  #hitSum = 0;

  push(queriedTokens: number, hitTokens: number): void {
    if (queriedTokens <= 0) return;
    this.#queriedSum += queriedTokens - this.#queried[this.#next]!;
    this.#hitSum += hitTokens - this.#hit[this.#next]!;
    this.#queried[this.#next] = queriedTokens;
    this.#hit[this.#next] = hitTokens;
    this.#next = (this.#next + 1) % LOOKUPS;
  }

  /** Ratio 0..1; undefined before the first lookup, which is not zero. */
  get ratio(): number | undefined {
    return this.#queriedSum === 0 ? undefined : this.#hitSum / this.#queriedSum;
  }
}
