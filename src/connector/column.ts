import { QuantileSketch } from '../math/sketch.ts';

/** Values beyond which a column keeps a sketch; about ten seconds of a busy engine. */
const MAX_EXACT = 8192;
/** One percent over nine decades in at most this many bins. */
const SKETCH = { relativeError: 0.01, maxBins: 1024 };

/** A column that has outgrown its list, between processes: values near the true ones with how often each came. */
export interface SketchedColumn {
  readonly sum: number;
  readonly bins: readonly (readonly [value: number, times: number])[];
}

export type ColumnData = readonly number[] | SketchedColumn;

/**
 * What was measured of one quantity. Up to a limit every value is kept and all results are exact; beyond it the
 * count and the sum stay exact and quantiles are within one percent. Values are finite and not negative.
 */
export class Column {
  readonly #maxExact: number;
  #values: number[] = [];
  #sketch: QuantileSketch | undefined;
  #runningSum = 0;

  constructor(maxExact = MAX_EXACT) {
    this.#maxExact = maxExact;
  }

  get count(): number {
    return this.#sketch?.count ?? this.#values.length;
  }

  get isExact(): boolean {
    return this.#sketch === undefined;
  }

  /** Added one after the other, in order of arrival. */
  get runningSum(): number {
    return this.#runningSum;
  }

  /** Summed in pairs as numpy does, while exact. */
  get sum(): number {
    return this.#sketch === undefined ? pairwiseSum(this.#values, 0, this.#values.length) : this.#runningSum;
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /** Linear between ranks at 0.9(n-1), as numpy's percentile; 0 of nothing. */
  get p90(): number {
    if (this.#sketch !== undefined) return this.#sketch.percentile(90) ?? 0;
    if (this.#values.length === 0) return 0;
    const sorted = Float64Array.from(this.#values).sort();
    const rank = 0.9 * (sorted.length - 1);
    const low = Math.floor(rank);
    if (low >= sorted.length - 1) return sorted.at(-1)!;
    const share = rank - low;
    const step = sorted[low + 1]! - sorted[low]!;
    return share < 0.5 ? sorted[low]! + step * share : sorted[low + 1]! - step * (1 - share);
  }

  push(value: number, times = 1): void {
    this.#runningSum += value * times;
    if (this.#sketch === undefined && this.#values.length + times <= this.#maxExact) {
      for (let i = 0; i < times; i++) this.#values.push(value);
    } else this.#toSketch().add(value, times);
  }

  merge(other: Column): void {
    const sum = this.#runningSum + other.#runningSum;
    other.visit((value, times) => this.push(value, times));
    if (!other.isExact) this.#runningSum = sum;
  }

  /** Every value, or values near them, with how often. */
  visit(take: (value: number, times: number) => void): void {
    if (this.#sketch === undefined) for (const value of this.#values) take(value, 1);
    else for (const [value, times] of this.#sketch.entries()) take(value, times);
  }

  /** What {@link readColumn} reads; copied. */
  data(): ColumnData {
    if (this.#sketch === undefined) return [...this.#values];
    return { sum: this.#runningSum, bins: [...this.#sketch.entries()] };
  }

  clear(): void {
    this.#values = [];
    this.#sketch = undefined;
    this.#runningSum = 0;
  }

  /** Takes in a sketched column of another process; false if it is none. */
  readSketched(data: unknown): boolean {
    const { sum, bins } = (data ?? {}) as Partial<SketchedColumn>;
    if (!isAmount(sum) || !Array.isArray(bins)) return false;
    const fits = (bin: unknown): boolean =>
      Array.isArray(bin) && isAmount(bin[0]) && Number.isSafeInteger(bin[1]) && bin[1] > 0;
    if (!bins.every(fits)) return false;
    const total = this.#runningSum + sum;
    for (const [value, times] of bins as SketchedColumn['bins']) this.#toSketch().add(value, times);
    this.#runningSum = total;
    return true;
  }

  #toSketch(): QuantileSketch {
    if (this.#sketch === undefined) {
      this.#sketch = new QuantileSketch(SKETCH);
      for (const value of this.#values) this.#sketch.add(value);
      this.#values = [];
    }
    return this.#sketch;
  }
}

/** Whether a value may be in a column: a finite number that is not negative. */
export function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY;
}

/** numpy's pairwise summation, which the digits of its means depend on. */
function pairwiseSum(values: readonly number[], from: number, count: number): number {
  if (count < 8) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += values[from + i]!;
    return sum;
  }
  if (count > 128) {
    const half = Math.floor(count / 2);
    const left = half - (half % 8);
    return pairwiseSum(values, from, left) + pairwiseSum(values, from + left, count - left);
  }
  const r = values.slice(from, from + 8);
  const body = count - (count % 8);
  for (let i = 8; i < body; i++) r[i % 8]! += values[from + i]!;
  let sum = r[0]! + r[1]! + (r[2]! + r[3]!) + (r[4]! + r[5]! + (r[6]! + r[7]!));
  for (let i = body; i < count; i++) sum += values[from + i]!;
  return sum;
}
