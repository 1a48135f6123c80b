import type { Random } from '../../base/random.ts';
import { gamma, normal } from '../../math/distributions.ts';

/** What a Thompson policy draws; tests give the draws of a recorded run. */
export interface Draws {
  /** So many standard normals, in an array of the caller's own. */
  normals(count: number): Float64Array;
  beta(alpha: number, beta: number): number;
  /** Uniform in [0, 1). */
  uniform(): number;
}

export function randomDraws(random: Random): Draws {
  return {
    normals: (count) => Float64Array.from({ length: count }, () => normal(random)),
    beta: (alpha, beta) => {
      const a = gamma(random, alpha);
      const b = gamma(random, beta);
      return a + b === 0 ? 0.5 : a / (a + b);
    },
    uniform: () => random.next(),
  };
}
