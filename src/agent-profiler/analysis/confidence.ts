/** Percentiles that the profiler reports, by linear interpolation. */
export interface Percentiles {
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
}

type Interval = readonly [low: number, high: number];

/** Mean with normal-theory intervals; the field names are those of inference_optimization.json. */
export interface ConfidenceIntervals extends Percentiles {
  readonly n: number;
  readonly mean: number;
  readonly ninetieth_interval: Interval;
  readonly ninety_fifth_interval: Interval;
  readonly ninety_ninth_interval: Interval;
}

const Z_SCORES = {
  ninetieth_interval: 1.645,
  ninety_fifth_interval: 1.96,
  ninety_ninth_interval: 2.576,
} as const;

/** The p-th percentile (0-100) of ascending values: x[k] interpolated at k = (n-1)p/100; 0 without values. */
export function percentile(ascending: ArrayLike<number>, p: number): number {
  if (ascending.length === 0) return 0;
  const k = ((ascending.length - 1) * p) / 100;
  const low = Math.floor(k);
  const below = ascending[low]!;
  return below + (ascending[Math.ceil(k)]! - below) * (k - low);
}

export function percentiles(ascending: ArrayLike<number>): Percentiles {
  return { p90: percentile(ascending, 90), p95: percentile(ascending, 95), p99: percentile(ascending, 99) };
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? 0 : sum / values.length;
}

function intervals(center: number, standardError: number, floor = Number.NEGATIVE_INFINITY) {
  const around = (z: number): Interval => [
    Math.max(floor, center - z * standardError),
    center + z * standardError,
  ];
  return {
    ninetieth_interval: around(Z_SCORES.ninetieth_interval),
    ninety_fifth_interval: around(Z_SCORES.ninety_fifth_interval),
    ninety_ninth_interval: around(Z_SCORES.ninety_ninth_interval),
  };
}

/** mean ± z·σ/√n with the population's σ. */
export function confidenceIntervals(ascending: Float64Array): ConfidenceIntervals {
  const n = ascending.length;
  const center = mean(ascending);
  let squares = 0;
  for (const value of ascending) squares += (value - center) ** 2;
  const standardError = n === 0 ? 0 : Math.sqrt(squares / n) / Math.sqrt(n);
  return { n, mean: center, ...intervals(center, standardError), ...percentiles(ascending) };
}

/** Requests per second over a window, its standard error X/√n (counts as a Poisson process); never below 0. */
export function throughputIntervals(requests: number, windowS: number): ConfidenceIntervals {
  const valid = requests > 1 && windowS > 0;
  const rate = valid ? requests / windowS : 0;
  const error = valid ? rate / Math.sqrt(requests) : 0;
  return { n: valid ? requests : 0, mean: rate, ...intervals(rate, error, 0), p90: 0, p95: 0, p99: 0 };
}
