import { CONNECTOR } from '../metrics/names/kvasir.ts';
import { Column, isAmount } from './column.ts';
import { columnSummary } from './layouts.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReducedNumber,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';

const MAX_KEYS = 128;
const MAX_KEY_LENGTH = 128;
const MAX_DEPTH = 3;

/** Stats of a connector that nobody described: numbers add up, lists are kept as samples, maps are read by dotted key. */
export class OpenStats implements KvConnectorStats {
  readonly #columns = new Map<string, Column>();
  readonly #counts = new Map<string, number>();

  read(data: unknown, report: ReportDrop): void {
    if (isMap(data)) this.#readMap(data, '', report);
    else report('not_a_map');
  }

  data(): Record<string, unknown> {
    const columns = [...this.#columns].map(([key, column]) => [key, column.data()]);
    return Object.fromEntries([...this.#counts, ...columns]);
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof OpenStats)) return this;
    for (const [key, amount] of other.#counts) this.#count(key, amount);
    for (const [key, column] of other.#columns) this.#column(key)?.merge(column);
    return this;
  }

  reduce(): Reduced {
    const counts = [...this.#counts].map(
      ([key, value]): ReducedNumber => ({ key, value, kind: Number.isInteger(value) ? 'int' : 'float' }),
    );
    return [...counts, ...[...this.#columns].flatMap(([key, column]) => columnSummary(key, column))];
  }

  reset(): void {
    this.#columns.clear();
    this.#counts.clear();
  }

  isEmpty(): boolean {
    const counts = [...this.#counts.values()];
    const columns = [...this.#columns.values()];
    return counts.every((count) => count === 0) && columns.every((column) => column.count === 0);
  }

  /** What the numbers mean is not known, so nothing. */
  totals(): TransferTotals {
    return { transfers: 0, sizeBytes: 0, busyS: 0, failures: {} };
  }

  record(sink: MetricSink): void {
    for (const [name, value] of this.#counts) sink.counter(CONNECTOR.valuesTotal, { name }).inc(value);
    for (const [name, column] of this.#columns) {
      sink.counter(CONNECTOR.valuesTotal, { name }).inc(column.sum);
      sink.counter(CONNECTOR.samplesTotal, { name }).inc(column.count);
    }
  }

  #readMap(data: Readonly<Record<string, unknown>>, prefix: string, report: ReportDrop, depth = 1): void {
    for (const [name, value] of Object.entries(data)) {
      const key = `${prefix}${name}`;
      if (key.length > MAX_KEY_LENGTH) report('too_many_keys');
      else if (isAmount(value)) {
        if (!this.#count(key, value)) report('too_many_keys');
      } else if (Array.isArray(value)) this.#readList(key, value, report);
      else if (isMap(value)) {
        if ('bins' in value && this.#column(key)?.readSketched(value)) continue;
        if (depth < MAX_DEPTH) this.#readMap(value, `${key}.`, report, depth + 1);
        else report('unreadable_value');
      } else report(typeof value === 'number' ? 'bad_value' : 'unreadable_value');
    }
  }

  #readList(key: string, list: readonly unknown[], report: ReportDrop): void {
    const column = this.#column(key);
    if (column === undefined) {
      report('too_many_keys', list.length);
      return;
    }
    for (const value of list) {
      if (isAmount(value)) column.push(value);
      else report('bad_value');
    }
  }

  #count(key: string, amount: number): boolean {
    const known = this.#counts.get(key);
    if (known === undefined && this.#isFull()) return false;
    this.#counts.set(key, (known ?? 0) + amount);
    return true;
  }

  #column(key: string): Column | undefined {
    const known = this.#columns.get(key);
    if (known !== undefined || this.#isFull()) return known;
    const column = new Column();
    this.#columns.set(key, column);
    return column;
  }

  #isFull(): boolean {
    return this.#counts.size + this.#columns.size >= MAX_KEYS;
  }
}
