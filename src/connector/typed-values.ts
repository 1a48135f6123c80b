import type { FamilyType } from '../metrics/spec.ts';
import { Column, type ColumnData, isAmount } from './column.ts';
import { isMap, type ReducedNumber, type ReportDrop } from './stats.ts';

const MAX_METRICS = 128;
const MAX_CELLS = 64;
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$/;
const TYPES: readonly unknown[] = ['counter', 'gauge', 'histogram'] satisfies readonly FamilyType[];

/** One metric under one set of label values. */
export interface TypedCell {
  readonly labels: readonly string[];
  /** Of a counter or a gauge. */
  value: number;
  /** Of a histogram. */
  readonly column: Column;
}

export interface TypedPlace {
  readonly name: string;
  readonly type: FamilyType;
  readonly labels: readonly string[];
}

export interface TypedMetric {
  readonly name: string;
  readonly type: FamilyType;
  readonly cells: Map<string, TypedCell>;
}

/**
 * Values of metrics that say themselves what they are, by vLLM's `{types: {name: type}, data: {name: {labels: value}}}`:
 * counters add up, the latest gauge holds, histograms are lists. Bounded in names and in label sets.
 */
export class TypedValues {
  readonly #metrics = new Map<string, TypedMetric>();

  read(
    types: Readonly<Record<string, unknown>>,
    data: Readonly<Record<string, unknown>>,
    report: ReportDrop,
  ): void {
    for (const [name, cells] of Object.entries(data)) {
      const type = types[name];
      if (!TYPES.includes(type)) report('unknown_key');
      else
        for (const [labels, value] of entriesOf(cells))
          this.add({ name, type: type as FamilyType, labels: labelValues(labels) }, value, report);
    }
  }

  add(place: TypedPlace, value: unknown, report: ReportDrop): void {
    const { type, labels } = place;
    const metric = this.#metric(place.name, type);
    const cell = metric && cellOf(metric, labels);
    if (cell === undefined) report('too_many_keys');
    else if (type === 'histogram') observe(cell.column, value, report);
    else if (!isAmount(value)) report('bad_value');
    else cell.value = type === 'counter' ? cell.value + value : value;
  }

  /** What {@link read} takes in, labels as JSON. */
  data(): { readonly types: Record<string, FamilyType>; readonly data: Record<string, unknown> } {
    const metrics = [...this.#metrics.values()];
    const cell = ({ column, value }: TypedCell, type: FamilyType): number | ColumnData =>
      type === 'histogram' ? column.data() : value;
    return {
      types: Object.fromEntries(metrics.map(({ name, type }) => [name, type])),
      data: Object.fromEntries(
        metrics.map(({ name, type, cells }) => [
          name,
          Object.fromEntries([...cells].map(([labels, each]) => [labels, cell(each, type)])),
        ]),
      ),
    };
  }

  merge(other: TypedValues): void {
    for (const { name, type, cells } of other.#metrics.values()) {
      const metric = this.#metric(name, type);
      for (const { labels, value, column } of cells.values()) {
        const cell = metric && cellOf(metric, labels);
        if (cell === undefined) continue;
        cell.value = type === 'counter' ? cell.value + value : value;
        cell.column.merge(column);
      }
    }
  }

  metrics(): Iterable<TypedMetric> {
    return this.#metrics.values();
  }

  /** The first cell without labels. */
  cell(name: string): TypedCell | undefined {
    return this.#metrics.get(name)?.cells.get('');
  }

  /** As vLLM's `reduce`: histograms as count and sum, labels as Python's tuples. `isFloat` by a metric's name. */
  reduce(isFloat: (name: string) => boolean): ReducedNumber[] {
    return [...this.#metrics.values()].flatMap(({ name, type, cells }) =>
      [...cells.values()].flatMap(({ labels, value, column }): ReducedNumber[] => {
        const key = labels.length === 0 ? name : `${name}:${tuple(labels)}`;
        const number = (value: number) => ({
          value,
          kind: isFloat(name) || !Number.isInteger(value) ? ('float' as const) : ('int' as const),
        });
        if (type !== 'histogram') return [{ key, ...number(value) }];
        return [
          { key: `${key}_count`, value: column.count, kind: 'int' },
          { key: `${key}_sum`, ...number(column.runningSum) },
        ];
      }),
    );
  }

  clear(): void {
    this.#metrics.clear();
  }

  isEmpty(): boolean {
    return this.#metrics.size === 0;
  }

  #metric(name: string, type: FamilyType): TypedMetric | undefined {
    const known = this.#metrics.get(name);
    if (known !== undefined) return known.type === type ? known : undefined;
    if (this.#metrics.size >= MAX_METRICS || !NAME.test(name)) return undefined;
    const metric: TypedMetric = { name, type, cells: new Map() };
    this.#metrics.set(name, metric);
    return metric;
  }
}

function cellOf({ cells }: TypedMetric, labels: readonly string[]): TypedCell | undefined {
  const key = labels.length === 0 ? '' : JSON.stringify(labels);
  const known = cells.get(key);
  if (known !== undefined || cells.size >= MAX_CELLS) return known;
  const cell: TypedCell = { labels, value: 0, column: new Column() };
  cells.set(key, cell);
  return cell;
}

/** Values as a list, or as another process has put them together. */
function observe(column: Column, values: unknown, report: ReportDrop): void {
  if (!Array.isArray(values)) {
    if (!column.readSketched(values)) report('unreadable_value');
    return;
  }
  for (const each of values) {
    if (isAmount(each)) column.push(each);
    else report('bad_value');
  }
}

/** Of a plain map, or of one whose keys are tuples. */
function entriesOf(map: unknown): Iterable<readonly [unknown, unknown]> {
  if (map instanceof Map) return map;
  return isMap(map) ? Object.entries(map) : [];
}

/** Label values come as a list, as JSON, as Python's text of a tuple, or as the one value itself. */
function labelValues(key: unknown): string[] {
  if (Array.isArray(key)) return key.map(String);
  const text = String(key);
  if (text === '' || text === '()' || text === '[]') return [];
  if (text.startsWith('[')) {
    try {
      return (JSON.parse(text) as unknown[]).map(String);
    } catch {
      return [text];
    }
  }
  if (!text.startsWith('(')) return [text];
  return [...text.matchAll(/'([^']*)'|"([^"]*)"/g)].map(([, single, double]) => single ?? double ?? '');
}

function tuple(labels: readonly string[]): string {
  const quoted = labels.map((label) => `'${label}'`);
  return `(${quoted.join(', ')}${quoted.length === 1 ? ',' : ''})`;
}
