import type { RawSeries, Window } from './raw-series.ts';

// Beyond this a sample says nothing any more of a counter at the window's edge.
const STALE_S = 300;

/**
 * How much a counter grew in the window: value at its end minus value at its start, restarts undone, each read off the
 * line between the samples around that instant. `bornAtZero`: the series did not exist before its first sample though
 * its process did, so that all of it counts. Undefined without a sample near the window.
 */
export function increase(
  series: RawSeries,
  { startS, endS }: Window,
  bornAtZero: boolean,
): number | undefined {
  const { timesS } = series;
  const first = timesS[0];
  if (first === undefined || first > endS || timesS.at(-1)! < startS - STALE_S) return undefined;
  const grown = withoutRestarts(series.values);
  const base = first > startS && bornAtZero ? 0 : valueAt(timesS, grown, startS);
  return Math.max(0, valueAt(timesS, grown, endS) - base);
}

/** Mean of the samples in the window, its start left out; undefined without one. */
export function meanInWindow({ timesS, values }: RawSeries, { startS, endS }: Window): number | undefined {
  let sum = 0;
  let count = 0;
  for (const [i, atS] of timesS.entries()) {
    if (atS <= startS || atS > endS || Number.isNaN(values[i]!)) continue;
    sum += values[i]!;
    count++;
  }
  return count === 0 ? undefined : sum / count;
}

/**
 * Whether each series of a family may be taken as 0 before its first sample: its target was scraped before that, as its
 * `up` or another series of the family tells.
 */
export function bornAtZero(
  family: readonly RawSeries[],
  up: readonly RawSeries[],
): (series: RawSeries) => boolean {
  const firstOf = new Map<string, number>();
  const seen = (labels: RawSeries['labels'], atS: number | undefined): void => {
    if (atS === undefined) return;
    const target = targetOf(labels);
    firstOf.set(target, Math.min(firstOf.get(target) ?? Number.POSITIVE_INFINITY, atS));
  };
  for (const { labels, timesS } of family) seen(labels, timesS[0]);
  for (const { labels, timesS, values } of up) seen(labels, timesS[values.indexOf(1)]);
  return ({ labels, timesS }) => firstOf.get(targetOf(labels))! < timesS[0]!;
}

export function targetOf({ job = '', instance = '' }: Readonly<Record<string, string>>): string {
  return `${job}/${instance}`;
}

/** Bounds and cumulative increases of a histogram; the quantile is interpolated in its bucket as Prometheus does. */
export function quantileOf(q: number, buckets: ReadonlyMap<number, number>): number | undefined {
  const bounds = [...buckets.keys()].sort((a, b) => a - b);
  const total = buckets.get(Number.POSITIVE_INFINITY);
  if (bounds.length < 2 || total === undefined || total <= 0) return undefined;
  const rank = q * total;
  let below = 0;
  let lower = 0;
  for (const bound of bounds) {
    // Buckets of several processes may be read at slightly different instants: never let one fall below the last.
    const count = Math.max(below, buckets.get(bound)!);
    if (count >= rank) {
      if (bound === Number.POSITIVE_INFINITY) return bounds.at(-2);
      if (bound <= 0) return bound;
      return count === below ? bound : lower + (bound - lower) * ((rank - below) / (count - below));
    }
    below = count;
    lower = bound;
  }
  return bounds.at(-2);
}

function withoutRestarts(values: readonly number[]): readonly number[] {
  let lost = 0;
  return values.map((value, i) => {
    const before = values[i - 1];
    if (before !== undefined && value < before) lost += before;
    return value + lost;
  });
}

function valueAt(timesS: readonly number[], values: readonly number[], atS: number): number {
  let after = timesS.findIndex((time) => time >= atS);
  if (after === -1) return values.at(-1)!;
  if (after === 0 || timesS[after] === atS) return values[after]!;
  const [t0, t1] = [timesS[after - 1]!, timesS[after]!];
  if (t1 - t0 > STALE_S) return values[--after]!;
  return values[after - 1]! + ((values[after]! - values[after - 1]!) * (atS - t0)) / (t1 - t0);
}
