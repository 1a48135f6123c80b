import { exponential, SeededRandom } from '../base/random.ts';
import { normal } from '../math/distributions.ts';
import type { LoadTrial } from './validation.ts';

/** Spread of prompt and answer lengths: standard deviation of a log-normal draw, as a share of the mean. */
const LENGTH_SPREAD = 0.3;
const SHORTEST = 2;
/** No length is drawn beyond so many times the mean. */
export const LONGEST_SHARE = 2.5;

export interface DrawnRequest {
  /** Arrival, ms from the start. */
  readonly atMs: number;
  readonly islTokens: number;
  readonly oslTokens: number;
}

/** The requests of a trial: Poisson arrivals, lengths about the target's. The same seed draws the same. */
export function drawLoad({ ratePerS, requests, target, seed }: LoadTrial): DrawnRequest[] {
  const random = new SeededRandom(seed);
  const sigma = Math.sqrt(Math.log(1 + LENGTH_SPREAD ** 2));
  const length = (mean: number): number => {
    const drawn = Math.round(mean * Math.exp(normal(random, -(sigma ** 2) / 2, sigma)));
    return Math.min(Math.ceil(LONGEST_SHARE * mean), Math.max(SHORTEST, drawn));
  };
  let atMs = 0;
  return Array.from({ length: requests }, () => {
    atMs += exponential(random, 1000 / ratePerS);
    return { atMs, islTokens: length(target.islTokens), oslTokens: length(target.oslTokens) };
  });
}
