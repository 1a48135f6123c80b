import type { Counter } from '../metrics/counter.ts';
import type { Gauge } from '../metrics/gauge.ts';
import type { Histogram } from '../metrics/histogram.ts';
import type { CounterSpec, GaugeSpec, HistogramSpec } from '../metrics/spec.ts';

/** How a reduced number is written: whole, a float, or one of numpy's floats, which show their type when nested. */
export type NumberKind = 'int' | 'float' | 'numpy';

export interface ReducedNumber {
  readonly key: string;
  readonly value: number;
  readonly kind: NumberKind;
}

/** Numbers of a child connector under its name. */
export interface ReducedGroup {
  readonly key: string;
  readonly children: readonly ReducedNumber[];
}

/** What an interval comes to, in the order of the log line. */
export type Reduced = readonly (ReducedNumber | ReducedGroup)[];

/** Why (a part of) a payload was left out. */
export type DropReason =
  | 'not_a_map'
  | 'unknown_key'
  | 'unreadable_value'
  | 'bad_value'
  | 'torn_row'
  | 'too_many_keys'
  | 'no_stats'
  | 'unknown_engine'
  | 'internal';

export type ReportDrop = (reason: DropReason, times?: number) => void;

/** What every connector can say, whatever it measures. */
export interface TransferTotals {
  /** Transfers that succeeded, each rank's counted apart. */
  readonly transfers: number;
  readonly sizeBytes: number;
  /** Summed over transfers, which may overlap. */
  readonly busyS: number;
  /** By kind, such as `transfer`, `notification`, `expired`; kinds that did not occur may be left out. */
  readonly failures: Readonly<Record<string, number>>;
}

/** Where stats write their series: children with the engine's labels bound. */
export interface MetricSink {
  histogram(spec: HistogramSpec, labels?: Readonly<Record<string, string>>): Histogram;
  counter(spec: CounterSpec, labels?: Readonly<Record<string, string>>): Counter;
  gauge(spec: GaugeSpec, labels?: Readonly<Record<string, string>>): Gauge;
}

/**
 * What one connector measured since the last reset, by the contract of vLLM's `KVConnectorStats`. Only `data()`
 * crosses process borders, and `read` takes it in on the other side.
 */
export interface KvConnectorStats {
  /** Adds what a payload holds; reports what it does not understand. */
  read(data: unknown, report: ReportDrop): void;
  /** Plain maps, lists and numbers; copied. */
  data(): Readonly<Record<string, unknown>>;
  /** Adds another's values to these and returns these; the other stays as it is. Of another kind: no-op. */
  aggregate(other: KvConnectorStats): KvConnectorStats;
  reduce(): Reduced;
  reset(): void;
  isEmpty(): boolean;
  totals(): TransferTotals;
  /** Adds all values to the series of the connector. */
  record(sink: MetricSink): void;
  /** The connectors inside, by name; of a simple one nothing. */
  children?(): Iterable<readonly [connector: string, stats: KvConnectorStats]>;
}

/** The plain map that vLLM's `reduce` returns. */
export function reducedMap(reduced: Reduced): Record<string, number | Record<string, number>> {
  return Object.fromEntries(
    reduced.map((stat) => [
      stat.key,
      'children' in stat
        ? Object.fromEntries(stat.children.map(({ key, value }) => [key, value]))
        : stat.value,
    ]),
  );
}

export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
