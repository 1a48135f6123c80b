import { ascending, percentileLinear } from './percentile.ts';

/** A sample in numbers. `std` is of the population (divided by n), as the benchmarking tools print it. */
export interface Summary {
  readonly count: number;
  readonly sum: number;
  readonly mean: number;
  readonly std: number;
  readonly min: number;
  readonly max: number;
  /** Ascending, for percentiles: `percentileLinear(summary.sorted, 99)`. */
  readonly sorted: Float64Array;
}

/** undefined for an empty sample. */
export function summarize(values: ArrayLike<number>): Summary | undefined {
  const sorted = ascending(values);
  if (sorted.length === 0) return undefined;
  const sum = total(sorted);
  const mean = sum / sorted.length;
  let squares = 0;
  for (const value of sorted) squares += (value - mean) ** 2;
  return {
    count: sorted.length,
    sum,
    mean,
    std: Math.sqrt(squares / sorted.length),
    min: sorted[0]!,
    max: sorted.at(-1)!,
    sorted,
  };
}

/** Linear percentile of a summary. */
export function percentileOf(summary: Summary, p: number): number {
  return percentileLinear(summary.sorted, p)!;
}

/** Sum with Neumaier's compensation: the order of the values does not show. */
export function total(values: ArrayLike<number>): number {
  let sum = 0;
  let lost = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + lost;
}

/** undefined for an empty sample. */
export function mean(values: ArrayLike<number>): number | undefined {
  return values.length === 0 ? undefined : total(values) / values.length;
}

/** Pearson's correlation; undefined when either side does not vary. */
export function correlation(xs: ArrayLike<number>, ys: ArrayLike<number>): number | undefined {
  const meanX = mean(xs) ?? 0;
  const meanY = mean(ys) ?? 0;
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let i = 0; i < xs.length; i++) {
    const dx = xs[i]! - meanX;
    const dy = ys[i]! - meanY;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}
