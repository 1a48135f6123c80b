import { SeededRandom } from '../base/random.ts';
import { ascending, percentileLinear } from './percentile.ts';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Share of intervals that hold the true value; 0.95. */
  readonly confidence?: number;
  /** Resamples; by default 1000, fewer for large samples, whose intervals are narrow anyway. */
  readonly resamples?: number;
  readonly seed?: number;
}

/**
 * Percentile bootstrap of a linear percentile: draws samples of the same size with replacement. One sort in all;
 * O(n) per resample. undefined for fewer than two values.
 */
export function bootstrapPercentile(
  values: ArrayLike<number>,
  p: number,
  options: BootstrapOptions = {},
): Interval | undefined {
  const sorted = ascending(values);
  const times = new Uint32Array(sorted.length);
  return bootstrap(sorted.length, options, (draws) => {
    times.fill(0);
    for (const draw of draws) times[draw]!++;
    return percentileOfCounts(sorted, times, p);
  });
}

/** Percentile bootstrap of the mean; of a share when the values are 0 and 1. */
export function bootstrapMean(
  values: ArrayLike<number>,
  options: BootstrapOptions = {},
): Interval | undefined {
  return bootstrap(values.length, options, (draws) => {
    let sum = 0;
    for (const draw of draws) sum += values[draw]!;
    return sum / draws.length;
  });
}

function bootstrap(
  size: number,
  options: BootstrapOptions,
  statistic: (draws: Uint32Array) => number,
): Interval | undefined {
  if (size < 2) return undefined;
  const random = new SeededRandom(options.seed ?? 0);
  const resamples = options.resamples ?? Math.min(1000, Math.max(200, Math.floor(4e6 / size)));
  const draws = new Uint32Array(size);
  const results = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    for (let at = 0; at < size; at++) draws[at] = random.nextInt(size);
    results[i] = statistic(draws);
  }
  const tail = (1 - (options.confidence ?? 0.95)) / 2;
  results.sort();
  return { low: percentileLinear(results, tail * 100)!, high: percentileLinear(results, (1 - tail) * 100)! };
}

/** Linear percentile of the sample that holds `sorted[i]` `times[i]` times. */
function percentileOfCounts(sorted: Float64Array, times: Uint32Array, p: number): number {
  const rank = ((sorted.length - 1) * p) / 100;
  const low = Math.floor(rank);
  let seen = 0;
  let at = 0;
  while (seen + times[at]! <= low) seen += times[at++]!;
  const a = sorted[at]!;
  if (low + 1 < seen + times[at]! || rank === low) return a;
  do at++;
  while (times[at] === 0);
  return a + (sorted[at]! - a) * (rank - low);
}
