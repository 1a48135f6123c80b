import type { Labels, ParsedFamily } from '../../formats/prometheus-text/exposition.ts';
import { parseExposition } from '../../formats/prometheus-text/parse.ts';

/** One reading of `/metrics`, with the questions that the page asks of it. */
export class Scrape {
  readonly atMs: number;
  readonly #families: ReadonlyMap<string, ParsedFamily>;

  constructor(text: string, atMs: number) {
    this.atMs = atMs;
    this.#families = parseExposition(text).families;
  }

  /** Sum over all series of a counter or gauge that have these labels; 0 if there is none. */
  sum(family: string, labels: Labels = {}, sample = family): number {
    let total = 0;
    for (const { name, labels: own, value } of this.#families.get(family)?.samples ?? []) {
      if (name === sample && matches(own, labels) && Number.isFinite(value)) total += value;
    }
    return total;
  }

  /** Values of a gauge by one of its labels. */
  byLabel(family: string, label: string, labels: Labels = {}): Map<string, number> {
    const values = new Map<string, number>();
    for (const { labels: own, value } of this.#families.get(family)?.samples ?? []) {
      const key = own[label];
      if (key !== undefined && matches(own, labels)) values.set(key, (values.get(key) ?? 0) + value);
    }
    return values;
  }

  /** The label sets of a family whose value is 1. */
  active(family: string): Labels[] {
    return (this.#families.get(family)?.samples ?? [])
      .filter(({ value }) => value === 1)
      .map(({ labels }) => labels);
  }

  /** Cumulative buckets of a histogram, summed over its series, ascending. */
  buckets(family: string): { readonly le: number; readonly count: number }[] {
    const counts = new Map<number, number>();
    for (const { name, labels, value } of this.#families.get(family)?.samples ?? []) {
      if (name !== `${family}_bucket`) continue;
      const le = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
      counts.set(le, (counts.get(le) ?? 0) + value);
    }
    return [...counts].map(([le, count]) => ({ le, count })).sort((a, b) => a.le - b.le);
  }
}

function matches(own: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => own[key] === value);
}

/** Quantile of what a histogram counted between two readings, linear inside its bucket; undefined if nothing. */
export function quantileBetween(
  before: Scrape,
  after: Scrape,
  family: string,
  q: number,
): number | undefined {
  const old = new Map(before.buckets(family).map(({ le, count }) => [le, count]));
  const grown = after.buckets(family).map(({ le, count }) => ({ le, count: count - (old.get(le) ?? 0) }));
  const total = grown.at(-1)?.count ?? 0;
  if (total <= 0) return undefined;
  const rank = q * total;
  const at = grown.findIndex(({ count }) => count >= rank);
  const { le, count } = grown[at]!;
  const low = grown[at - 1] ?? { le: 0, count: 0 };
  // The last bucket has no upper bound: its lower one is all that is known.
  if (!Number.isFinite(le)) return low.le;
  return count === low.count ? le : low.le + ((le - low.le) * (rank - low.count)) / (count - low.count);
}

/** Growth per second of a counter between two readings; 0 across a restart. */
export function rateBetween(before: Scrape, after: Scrape, family: string, sample = family): number {
  const seconds = (after.atMs - before.atMs) / 1000;
  return seconds <= 0
    ? 0
    : Math.max(0, after.sum(family, {}, sample) - before.sum(family, {}, sample)) / seconds;
}
