import { fail } from '../base/errors.ts';

/** Lists that operators may override with `DYN_METRICS_<variable>_{MIN,MAX,COUNT}`. */
const OVERRIDABLE = [
  'REQUEST_DURATION',
  'INPUT_SEQUENCE',
  'OUTPUT_SEQUENCE',
  'TTFT',
  'ITL',
  'EMBEDDING_LATENCY',
] as const;
export type Overridable = (typeof OVERRIDABLE)[number];

interface LogRange {
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** A logarithmic list whose range operators may override. */
export interface BucketRule extends LogRange {
  readonly variable: Overridable;
}

/** What the environment says; the parts left out keep the rule's own. */
export type BucketOverrides = Readonly<Partial<Record<Overridable, Partial<LogRange>>>>;

const MAX_COUNT = 512;

/** Rounds half away from zero to two significant digits. */
export function roundTwoSignificant(value: number): number {
  if (value === 0) return 0;
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  // A power computed as 10 ** n is not the nearest double to the literal, and gives 130000.00000000001.
  const scale = Number(`1e${1 - magnitude}`);
  const scaled = value * scale;
  return (Math.sign(scaled) * Math.round(Math.abs(scaled))) / scale;
}

/** 0, then `count - 1` points evenly spaced on a log scale up to `max`, rounded, repeats dropped; `min` never appears. */
export function logBuckets(min: number, max: number, count: number): number[] {
  if (count === 0) return [];
  const bounds = [0];
  const low = Math.log(min);
  const high = Math.log(max);
  for (let i = 1; i < count; i++) {
    const bound = roundTwoSignificant(Math.exp(low + ((high - low) * i) / (count - 1)));
    if (bound !== bounds.at(-1)) bounds.push(bound);
  }
  return bounds;
}

/** start + width * i, multiplied and not accumulated: the odd digits are part of the wire format. */
export function linearBuckets(start: number, width: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + width * i);
}

/** Repeated multiplication from `start`, for the same reason. */
export function exponentialBuckets(start: number, factor: number, count: number): number[] {
  const bounds: number[] = [];
  for (let bound = start; bounds.length < count; bound *= factor) bounds.push(bound);
  return bounds;
}

/** 1, 2, 5, 10, 20, ... up to and including `max`, as vLLM buckets token counts. */
export function oneTwoFiveBuckets(max: number): number[] {
  const bounds: number[] = [];
  for (let decade = 1; ; decade *= 10) {
    for (const step of [1, 2, 5]) {
      if (step * decade > max) return bounds;
      bounds.push(step * decade);
    }
  }
}

/** A logarithmic list under an operator's control. */
export function logRule(variable: Overridable, min: number, max: number, count: number): BucketRule {
  return { variable, min, max, count };
}

/** Reads `DYN_METRICS_*_{MIN,MAX,COUNT}`; validity shows only together with a rule's own range. */
export function bucketOverrides(env: Readonly<Record<string, string | undefined>>): BucketOverrides {
  const overrides: Partial<Record<Overridable, Partial<LogRange>>> = {};
  for (const variable of OVERRIDABLE) {
    const range = {
      ...part(env, variable, 'min'),
      ...part(env, variable, 'max'),
      ...part(env, variable, 'count'),
    };
    if (Object.keys(range).length > 0) overrides[variable] = range;
  }
  return overrides;
}

function part(
  env: Readonly<Record<string, string | undefined>>,
  variable: string,
  key: keyof LogRange,
): Partial<LogRange> {
  const text = env[`DYN_METRICS_${variable}_${key.toUpperCase()}`];
  return text === undefined || text.trim() === '' ? {} : { [key]: Number(text) };
}

/**
 * The bounds of a list, or of a rule under the overrides. A range that is not finite, 0 < min < max and
 * 1 <= count <= 512 falls back to the rule's own as a whole, and `warn` hears of it.
 */
export function resolveBuckets(
  buckets: readonly number[] | BucketRule,
  overrides: BucketOverrides = {},
  warn: (reason: string) => void = () => {},
): readonly number[] {
  if (!('variable' in buckets)) return buckets;
  const { min, max, count } = { ...buckets, ...overrides[buckets.variable] };
  const valid = Number.isFinite(max) && min > 0 && min < max && Number.isInteger(count);
  if (valid && count >= 1 && count <= MAX_COUNT) return logBuckets(min, max, count);
  const { variable } = buckets;
  warn(
    `DYN_METRICS_${variable}_MIN/MAX/COUNT ${min}, ${max}, ${count} is not 0 < min < max, 1 <= count <= ${MAX_COUNT}`,
  );
  return logBuckets(buckets.min, buckets.max, buckets.count);
}

/** Throws unless the bounds are finite and strictly ascending. */
export function checkBounds(name: string, bounds: readonly number[]): void {
  const wrong = bounds.findIndex((bound, i) => !Number.isFinite(bound) || (i > 0 && bound <= bounds[i - 1]!));
  if (wrong < 0) return;
  const reason = `bucket bound ${bounds[wrong]} at position ${wrong} is not finite and ascending`;
  throw fail('KV_METRIC_INVALID', { name, reason, mend: 'List finite upper bounds in ascending order.' });
}
