import { fail } from '../base/errors.ts';
import { exponential, type Random } from '../base/random.ts';
import { gamma } from '../math/distributions.ts';

/** How requests arrive in an open loop; rates in requests per second. The first always arrives at 0. */
export type Arrival =
  | { readonly kind: 'burst' }
  | { readonly kind: 'constant'; readonly rate: number }
  | { readonly kind: 'poisson'; readonly rate: number }
  /** Squared variation of the gaps is 1/shape: below 1 bursty, above 1 smooth (vLLM's burstiness). */
  | { readonly kind: 'gamma'; readonly rate: number; readonly shape: number }
  /** The rate moves from start to end with the request's index, as vLLM's ramp-up does; gaps are gamma. */
  | {
      readonly kind: 'ramp';
      readonly strategy: 'linear' | 'exponential';
      readonly startRate: number;
      readonly endRate: number;
      readonly shape: number;
    }
  /** Poisson of a rate that swings between min and max, from min at 0. */
  | {
      readonly kind: 'sinusoid';
      readonly minRate: number;
      readonly maxRate: number;
      readonly periodS: number;
    };

/** Due times of `count` requests in ms, ascending. */
export function arrivalTimes(arrival: Arrival, count: number, random: Random): Float64Array {
  check(arrival);
  if (arrival.kind === 'sinusoid') return sinusoidTimes(arrival, count, random);
  const times = new Float64Array(count);
  for (let i = 1; i < count; i++) times[i] = times[i - 1]! + gapMs(arrival, i / count, random);
  return times;
}

function gapMs(arrival: Exclude<Arrival, { kind: 'sinusoid' }>, progress: number, random: Random): number {
  switch (arrival.kind) {
    case 'burst':
      return 0;
    case 'constant':
      return 1000 / arrival.rate;
    case 'poisson':
      return exponential(random, 1000 / arrival.rate);
    case 'gamma':
      return gammaGapMs(arrival.rate, arrival.shape, random);
    case 'ramp': {
      const { startRate, endRate, strategy } = arrival;
      const rate =
        strategy === 'linear'
          ? startRate + (endRate - startRate) * progress
          : startRate * (endRate / startRate) ** progress;
      return gammaGapMs(rate, arrival.shape, random);
    }
  }
}

function gammaGapMs(rate: number, shape: number, random: Random): number {
  return Number.isFinite(shape) ? gamma(random, shape, 1000 / (rate * shape)) : 1000 / rate;
}

/** Thinning (Lewis and Shedler 1979): draws at the highest rate, kept with the share that the rate has of it. */
function sinusoidTimes(
  { minRate, maxRate, periodS }: Extract<Arrival, { kind: 'sinusoid' }>,
  count: number,
  random: Random,
): Float64Array {
  const times = new Float64Array(count);
  let atMs = 0;
  for (let i = 1; i < count; ) {
    atMs += exponential(random, 1000 / maxRate);
    const swing = Math.sin((2 * Math.PI * atMs) / (periodS * 1000) - Math.PI / 2);
    const rate = (minRate + maxRate) / 2 + ((maxRate - minRate) / 2) * swing;
    if (random.next() * maxRate < rate) times[i++] = atMs;
  }
  return times;
}

function check(arrival: Arrival): void {
  for (const [name, value] of Object.entries(arrival)) {
    const isShape = name === 'shape';
    if (typeof value !== 'number' || (value > 0 && (Number.isFinite(value) || isShape))) continue;
    if (name === 'minRate' && value === 0) continue;
    throw fail('KV_SETTING_INVALID', {
      setting: name,
      value,
      reason: 'is not a positive number',
      mend: 'Give a rate in requests per second above 0.',
    });
  }
}
