import { meanHalfWidth } from '../math/student-t.ts';
import { mean } from '../math/summary.ts';

/** A mean over seeds and the half-width of its 95 % confidence interval; undefined for a single seed. */
export interface Estimate {
  readonly mean: number;
  readonly halfWidth: number | undefined;
}

/** Student's interval of the mean; seeds are few, so the normal one would be too narrow. */
export function estimate(values: readonly number[]): Estimate {
  return {
    mean: mean(values) ?? Number.NaN,
    halfWidth: values.length < 2 ? undefined : meanHalfWidth(values),
  };
}
