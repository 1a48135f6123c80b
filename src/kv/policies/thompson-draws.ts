import type { Random } from '../../base/random.ts';

/** What a Thompson policy draws; tests give the draws of a recorded run. */
export interface Draws {
  /** So many standard normals, in an array of the caller's own. */
  normals(count: number): Float64Array;
  beta(alpha: number, beta: number): number;
  /** Uniform in [0, 1). */
  uniform(): number;
}

export function randomDraws(random: Random): Draws {
  const normal = (): number =>
    Math.sqrt(-2 * Math.log1p(-random.next())) * Math.cos(2 * Math.PI * random.next());
  return {
    normals: (count) => Float64Array.from({ length: count }, normal),
    beta: (alpha, beta) => {
      const a = gamma(random, normal, alpha);
      const b = gamma(random, normal, beta);
      return a + b === 0 ? 0.5 : a / (a + b);
    },
    uniform: () => random.next(),
  };
}

/** Gamma of the given shape and scale 1 (Marsaglia and Tsang 2000). */
function gamma(random: Random, normal: () => number, shape: number): number {
  if (shape < 1) return gamma(random, normal, shape + 1) * (1 - random.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log1p(-random.next()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}
