import type { CounterSpec, GaugeSpec, HistogramSpec } from '../metrics/spec.ts';
import { Column, isAmount } from './column.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';

/**
 * One key of a payload. `samples` is a list of measurements, `events` a list with one entry for each event, `count` a
 * number that adds up, `gauge` one of which the latest holds.
 */
export type Field =
  | (Key & { readonly kind: 'samples'; readonly metric?: HistogramSpec })
  | (Key & { readonly kind: 'events' | 'count'; readonly metric?: CounterSpec })
  | (Key & { readonly kind: 'gauge'; readonly metric: GaugeSpec });

interface Key {
  readonly key: string;
  /** First version of vLLM whose payloads have it. */
  readonly since?: string;
}

/** What the payload of a connector looks like, and what it comes to. */
export interface FieldLayout {
  /** In the order in which they are recorded. */
  readonly fields: readonly Field[];
  /** The samples at one position of all lists are one transfer. */
  readonly rows: boolean;
  /** Fields that alone make the stats worth telling; all unless given. */
  readonly decisive?: readonly string[];
  reduce(values: FieldValues): Reduced;
  /** What is recorded besides the fields' own metrics. */
  record?(values: FieldValues, sink: MetricSink): void;
  totals(values: FieldValues): TransferTotals;
}

/** Read access by key; a key that the layout does not have is empty. */
export interface FieldValues {
  column(key: string): Column;
  count(key: string): number;
  /** Whether a payload had the key: newer versions have more. */
  has(key: string): boolean;
}

const NOTHING = new Column(0);

/** Stats whose payload is a map of known keys. Missing keys are empty, unknown ones are left out and reported. */
export class FieldStats implements KvConnectorStats, FieldValues {
  readonly #layout: FieldLayout;
  readonly #columns = new Map<string, Column>();
  readonly #counts = new Map<string, number>();
  readonly #gauges = new Set<string>();
  readonly #seen = new Set<string>();

  constructor(layout: FieldLayout) {
    this.#layout = layout;
    for (const { key, kind } of layout.fields) {
      if (kind === 'gauge') this.#gauges.add(key);
      if (kind === 'samples') this.#columns.set(key, new Column());
      else this.#counts.set(key, 0);
    }
  }

  column(key: string): Column {
    return this.#columns.get(key) ?? NOTHING;
  }

  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  has(key: string): boolean {
    return this.#seen.has(key);
  }

  read(data: unknown, report: ReportDrop): void {
    if (!isMap(data)) {
      report('not_a_map');
      return;
    }
    for (const [key, value] of Object.entries(data)) {
      if (this.#columns.has(key)) continue;
      if (!this.#counts.has(key)) report('unknown_key');
      else {
        this.#seen.add(key);
        if (this.#gauges.has(key)) this.#readGauge(key, value, report);
        else this.#readCount(key, value, report);
      }
    }
    this.#readSamples(data, report);
  }

  data(): Record<string, unknown> {
    const told = this.#layout.fields.filter(
      ({ key, kind, since }) => (since === undefined && kind !== 'gauge') || this.has(key),
    );
    return Object.fromEntries(
      told.map(({ key, kind }) => [key, kind === 'samples' ? this.column(key).data() : this.count(key)]),
    );
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof FieldStats) || other.#layout !== this.#layout) return this;
    for (const [key, column] of other.#columns) this.#columns.get(key)!.merge(column);
    for (const [key, count] of other.#counts) {
      if (!this.#gauges.has(key)) this.#counts.set(key, this.count(key) + count);
      else if (other.has(key)) this.#counts.set(key, count);
    }
    for (const key of other.#seen) this.#seen.add(key);
    return this;
  }

  reduce(): Reduced {
    return this.#layout.reduce(this);
  }

  reset(): void {
    for (const column of this.#columns.values()) column.clear();
    for (const key of this.#counts.keys()) this.#counts.set(key, 0);
    this.#seen.clear();
  }

  isEmpty(): boolean {
    const keys = this.#layout.decisive ?? this.#layout.fields.map(({ key }) => key);
    return keys.every((key) =>
      this.#gauges.has(key) ? !this.has(key) : this.column(key).count === 0 && this.count(key) === 0,
    );
  }

  totals(): TransferTotals {
    return this.#layout.totals(this);
  }

  record(sink: MetricSink): void {
    for (const field of this.#layout.fields) {
      if (field.metric === undefined) continue;
      if (field.kind === 'samples') {
        const histogram = sink.histogram(field.metric);
        this.column(field.key).visit((value, times) => histogram.observe(value, times));
      } else if (field.kind !== 'gauge') sink.counter(field.metric).inc(this.count(field.key));
      else if (this.has(field.key)) sink.gauge(field.metric).set(this.count(field.key));
    }
    this.#layout.record?.(this, sink);
  }

  /** An event list counts its entries' sum, as vLLM increments by each; a count may come as a list or a number. */
  #readCount(key: string, value: unknown, report: ReportDrop): void {
    let added = 0;
    for (const amount of Array.isArray(value) ? value : [value]) {
      if (isAmount(amount)) added += amount;
      else report('bad_value');
    }
    this.#counts.set(key, this.count(key) + added);
  }

  #readGauge(key: string, value: unknown, report: ReportDrop): void {
    const latest = Array.isArray(value) ? value.at(-1) : value;
    if (isAmount(latest)) this.#counts.set(key, latest);
    else report('bad_value');
  }

  #readSamples(data: Readonly<Record<string, unknown>>, report: ReportDrop): void {
    const lists = new Map<Column, readonly unknown[]>();
    for (const [key, column] of this.#columns) {
      const value = data[key];
      if (Array.isArray(value)) lists.set(column, value);
      else if (value !== undefined && !column.readSketched(value)) report('unreadable_value');
    }
    if (this.#layout.rows) {
      readRows(lists, report);
      return;
    }
    for (const [column, list] of lists) readRows(new Map([[column, list]]), report);
  }
}

/** A column without entries is one that the sender does not have; longer ones are cut to the shortest of the others. */
function readRows(lists: ReadonlyMap<Column, readonly unknown[]>, report: ReportDrop): void {
  const filled = [...lists].filter(([, list]) => list.length > 0);
  const lengths = filled.map(([, list]) => list.length);
  const rows = Math.min(...lengths);
  const torn = Math.max(...lengths) - rows;
  if (torn > 0) report('torn_row', torn);
  for (let row = 0; row < rows && filled.length > 0; row++) {
    if (filled.every(([, list]) => isAmount(list[row])))
      for (const [column, list] of filled) column.push(list[row] as number);
    else report('bad_value');
  }
}
