import type { Random } from '../base/random.ts';

/** Draws from the normal distribution (polar method of Marsaglia). */
export function normal(random: Random, mean = 0, std = 1): number {
  for (;;) {
    const x = 2 * random.next() - 1;
    const y = 2 * random.next() - 1;
    const square = x * x + y * y;
    if (square > 0 && square < 1) return mean + std * x * Math.sqrt((-2 * Math.log(square)) / square);
  }
}

/** Draws from the gamma distribution of mean `shape * scale` (Marsaglia and Tsang 2000). */
export function gamma(random: Random, shape: number, scale = 1): number {
  if (shape < 1) return gamma(random, shape + 1, scale) * (1 - random.next()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - random.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v * scale;
  }
}

/** Draws an index with the given weights, which need not add up to 1; undefined when all are 0. */
export function weightedIndex(random: Random, weights: ArrayLike<number>): number | undefined {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i]!;
  if (total <= 0) return undefined;
  let left = random.next() * total;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i]! <= 0) continue;
    last = i;
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return last;
}
