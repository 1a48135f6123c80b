import { mean, total } from './summary.ts';

/** 97.5 % quantiles of Student's t with 1 to 30 degrees of freedom. */
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL_975 = 1.96;

/** Half-width of the 95 % t-interval of the mean; infinite for fewer than two values. */
export function meanHalfWidth(values: readonly number[]): number {
  if (values.length < 2) return Number.POSITIVE_INFINITY;
  const center = mean(values)!;
  const variance = total(values.map((value) => (value - center) ** 2)) / (values.length - 1);
  return (T_975[values.length - 2] ?? NORMAL_975) * Math.sqrt(variance / values.length);
}
