import type { Random } from '../../base/random.ts';

/**
 * The index of the lowest of the first `count` costs, uniform among exact ties, and how probable each was; draws only
 * when there are ties.
 */
export function lowest(
  costs: Float64Array,
  count: number,
  random: Random,
  probabilities: Float64Array,
): number {
  let best = 0;
  let ties = 1;
  for (let i = 1; i < count; i++) {
    const cost = costs[i]!;
    if (cost < costs[best]!) {
      best = i;
      ties = 1;
    } else if (cost === costs[best]!) {
      // Reservoir of one: the k-th tie replaces the kept one with probability 1/k.
      ties++;
      if (random.nextInt(ties) === 0) best = i;
    }
  }
  const least = costs[best]!;
  for (let i = 0; i < count; i++) probabilities[i] = costs[i] === least ? 1 / ties : 0;
  return best;
}

/** Writes p_i proportional to exp(-(c_i - min) / ((max - min) T)); equal costs are equally likely. */
export function softmaxOfCosts(
  costs: Float64Array,
  count: number,
  temperature: number,
  probabilities: Float64Array,
): void {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    min = Math.min(min, costs[i]!);
    max = Math.max(max, costs[i]!);
  }
  if (min === max) {
    probabilities.fill(1 / count, 0, count);
    return;
  }
  // Keeps the range finite for costs near the ends of the doubles.
  const scale = Number.isFinite(max - min) ? 1 : Math.max(Math.abs(min), Math.abs(max));
  const range = max / scale - min / scale;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const above = (costs[i]! / scale - min / scale) / range;
    probabilities[i] = Math.exp(-above / temperature);
    sum += probabilities[i]!;
  }
  for (let i = 0; i < count; i++) probabilities[i]! /= sum;
}

/** The first index whose cumulative probability reaches the sample of [0, 1), else the last. */
export function pickBySample(probabilities: Float64Array, count: number, sample: number): number {
  let cumulative = 0;
  for (let i = 0; i < count; i++) {
    cumulative += probabilities[i]!;
    if (cumulative >= sample) return i;
  }
  return count - 1;
}
