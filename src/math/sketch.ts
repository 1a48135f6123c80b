/**
 * Quantile sketch with logarithmic bins (DDSketch, Masson et al. 2019): any quantile of positive values is within
 * `relativeError` of a true value. Adding is O(1); memory is bounded: beyond `maxBins` the lowest bins are merged.
 */
export class QuantileSketch {
  readonly #gamma: number;
  readonly #logGamma: number;
  readonly #maxBins: number;
  readonly #bins = new Map<number, number>();
  #zeros = 0;
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly relativeError?: number; readonly maxBins?: number } = {}) {
    const error = options.relativeError ?? 0.001;
    this.#gamma = (1 + error) / (1 - error);
    this.#logGamma = Math.log(this.#gamma);
    this.#maxBins = options.maxBins ?? 16_384;
  }

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  /** `value` must not be negative; `times` adds it more than once. */
  add(value: number, times = 1): void {
    this.#count += times;
    this.#sum += value * times;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
    if (value <= 0) {
      this.#zeros += times;
      return;
    }
    const bin = Math.ceil(Math.log(value) / this.#logGamma);
    this.#bins.set(bin, (this.#bins.get(bin) ?? 0) + times);
    if (this.#bins.size > this.#maxBins) this.#mergeLowest();
  }

  /** Takes in another sketch of the same relative error. */
  merge(other: QuantileSketch): void {
    for (const [bin, times] of other.#bins) this.#bins.set(bin, (this.#bins.get(bin) ?? 0) + times);
    this.#zeros += other.#zeros;
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
    while (this.#bins.size > this.#maxBins) this.#mergeLowest();
  }

  /** Value at rank (n-1)p/100; undefined when empty. The extremes are exact. */
  percentile(p: number): number | undefined {
    if (this.#count === 0) return undefined;
    const rank = Math.round(((this.#count - 1) * p) / 100);
    if (rank <= 0) return this.#min;
    if (rank >= this.#count - 1) return this.#max;
    let seen = this.#zeros;
    if (rank < seen) return 0;
    for (const bin of [...this.#bins.keys()].sort((a, b) => a - b)) {
      seen += this.#bins.get(bin)!;
      if (rank < seen) return this.#clamp((2 * this.#gamma ** bin) / (this.#gamma + 1));
    }
    return this.#max;
  }

  /** A value of each bin, within the relative error of those in it, with how many there are; ascending. */
  *entries(): IterableIterator<readonly [value: number, times: number]> {
    if (this.#zeros > 0) yield [0, this.#zeros];
    for (const [bin, times] of [...this.#bins].sort(([a], [b]) => a - b))
      yield [this.#clamp((2 * this.#gamma ** bin) / (this.#gamma + 1)), times];
  }

  #clamp(value: number): number {
    return Math.min(this.#max, Math.max(this.#min, value));
  }

  #mergeLowest(): void {
    let lowest = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const bin of this.#bins.keys()) {
      if (bin < lowest) [lowest, next] = [bin, lowest];
      else if (bin < next) next = bin;
    }
    this.#bins.set(next, this.#bins.get(next)! + this.#bins.get(lowest)!);
    this.#bins.delete(lowest);
  }
}
