import { BucketIndex } from './bucket-index.ts';
import { Counter } from './counter.ts';
import { Gauge } from './gauge.ts';
import { Histogram } from './histogram.ts';
import { type ConstantLabels, labelText } from './labels.ts';
import type { FamilySpec } from './spec.ts';

/** Counts what a family refused, so that nothing is lost in silence. */
export interface ValueLedger {
  /** Values that were not finite, or negative for a counter. */
  dropped: number;
}

export type Child = Counter | Gauge | Histogram;
export type LabelValues<L extends string> = Readonly<Record<L, string>>;
type LabelArguments<L extends string> = [L] extends [never] ? [] : [values: LabelValues<L>];

/** One series: its bound child and the parts of its lines that never change. */
export interface Series<C extends Child = Child> {
  readonly values: readonly string[];
  readonly child: C;
  /** Sorted `name="value"` pairs without braces. */
  readonly labelText: string;
  /** Line beginnings per format, made at the first scrape. */
  readonly lines: { text?: readonly Uint8Array[]; openmetrics?: readonly Uint8Array[] };
}

/** All series of one name in one registry; `with` binds a child once, after which nothing is looked up. */
export class Family<L extends string = string, C extends Child = Child> {
  readonly spec: FamilySpec<L>;
  readonly constants: ConstantLabels;
  readonly #buckets: BucketIndex;
  readonly ledger: ValueLedger = { dropped: 0 };
  readonly #limit: number;
  readonly #series = new Map<string, Series<C>>();
  #overflowed = 0;
  #sink: C | undefined;

  constructor(spec: FamilySpec<L>, constants: ConstantLabels, bounds: readonly number[], maxSeries: number) {
    this.spec = spec;
    this.constants = constants;
    this.#buckets = new BucketIndex(bounds);
    this.#limit = maxSeries;
  }

  /** Finite upper bounds of a histogram, else empty. */
  get bounds(): Float64Array {
    return this.#buckets.bounds;
  }

  get size(): number {
    return this.#series.size;
  }

  /** How often a new series was refused because the family was full. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /** The child of these labels, made with value 0 if new; a full family gives one that is never exposed. */
  with(...[values]: LabelArguments<L>): C {
    const list = this.#list(values);
    const key = list.join('\u0000');
    const known = this.#series.get(key);
    if (known !== undefined) return known.child;
    if (this.#series.size >= this.#limit) {
      this.#overflowed++;
      this.#sink ??= this.detached();
      return this.#sink;
    }
    const child = this.detached();
    const { labels } = this.spec;
    const own = Object.fromEntries(labels.map((label, i) => [label, list[i]!]));
    const text = labelText({ ...this.constants, ...own });
    this.#series.set(key, { values: list, child, labelText: text, lines: {} });
    return child;
  }

  /** A child that accepts writes and is never exposed: what a departed worker's late writes go to. */
  detached(): C {
    return makeChild(this.spec, this.#buckets, this.ledger) as C;
  }

  /** The child of these labels, if it exists. */
  find(...[values]: LabelArguments<L>): C | undefined {
    return this.#series.get(this.#list(values).join('\u0000'))?.child;
  }

  /** Drops one series; children bound to it live on, detached. */
  remove(...[values]: LabelArguments<L>): boolean {
    return this.#series.delete(this.#list(values).join('\u0000'));
  }

  /** Drops every series that has all these label values; returns how many. O(series). */
  removeWhere(values: Readonly<Record<string, string>>): number {
    const names = this.spec.labels as readonly string[];
    const wanted = Object.entries(values).map(([name, value]) => [names.indexOf(name), value] as const);
    if (wanted.some(([at]) => at < 0)) return 0;
    let removed = 0;
    for (const [key, series] of this.#series) {
      const matches = wanted.every(([at, value]) => series.values[at] === value);
      if (matches && this.#series.delete(key)) removed++;
    }
    return removed;
  }

  clear(): void {
    this.#series.clear();
  }

  series(): IterableIterator<Series<C>> {
    return this.#series.values();
  }

  #list(values: LabelValues<L> | undefined): string[] {
    return this.spec.labels.map((label) => values?.[label] ?? '');
  }
}

function makeChild(spec: FamilySpec, buckets: BucketIndex, ledger: ValueLedger): Child {
  if (spec.type === 'counter') return new Counter(ledger);
  if (spec.type === 'gauge') return new Gauge(ledger);
  return new Histogram(buckets, ledger);
}
