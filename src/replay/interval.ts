import { mean } from '../math/summary.ts';

/** A mean over seeds and the half-width of its 95 % confidence interval; undefined for a single seed. */
export interface Estimate {
  readonly mean: number;
  readonly halfWidth: number | undefined;
}

// 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL_975 = 1.96;

/** Student's interval of the mean; seeds are few, so the normal one would be too narrow. */
export function estimate(values: readonly number[]): Estimate {
  const average = mean(values) ?? Number.NaN;
  if (values.length < 2) return { mean: average, halfWidth: undefined };
  let squares = 0;
  for (const value of values) squares += (value - average) ** 2;
  const degrees = values.length - 1;
  const error = Math.sqrt(squares / degrees / values.length);
  return { mean: average, halfWidth: (T_975[degrees - 1] ?? NORMAL_975) * error };
}
