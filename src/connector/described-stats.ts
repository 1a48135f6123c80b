import { OFFLOAD } from '../metrics/names/connector.ts';
import { OFFLOAD_FLAT } from '../metrics/names/offload.ts';
import type { CounterSpec, FamilySpec, GaugeSpec, HistogramSpec } from '../metrics/spec.ts';
import { MetricsSchema } from './metrics-schema.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';
import { type TypedCell, type TypedMetric, TypedValues } from './typed-values.ts';

/** What a connector's payloads have told of themselves; outlives them. */
export interface SchemaMemory {
  schema: MetricsSchema | undefined;
}

const FLAT = new Map<string, FamilySpec>(
  Object.values(OFFLOAD_FLAT).map((spec) => [spec.name.replace(/_total$/, ''), spec]),
);
const DIRECTIONS = { load: 'CPU_to_GPU', store: 'GPU_to_CPU' } as const;
const ENGINE = ['engine', 'model_name'];
/** Of metrics whose buckets nobody told. */
const DEFAULT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** Metrics whose numbers Python has as floats. */
const FLOAT = /_(time|perc|seconds)$/;

/**
 * Stats of a connector whose payloads may say themselves what they hold: with types and data, or by a schema that
 * came once. Payloads of the connector's plain form go to `plain`.
 */
export class DescribedStats implements KvConnectorStats {
  readonly #plain: KvConnectorStats;
  readonly #memory: SchemaMemory;
  readonly #typed = new TypedValues();

  constructor(plain: KvConnectorStats, memory: SchemaMemory) {
    this.#plain = plain;
    this.#memory = memory;
  }

  read(data: unknown, report: ReportDrop): void {
    const { types, data: values, _metrics_schema: schema, ...rest } = isMap(data) ? data : {};
    if (schema !== undefined) this.#memory.schema = MetricsSchema.read(schema, report);
    if (isMap(types) && isMap(values)) {
      this.#typed.read(types, values, report);
      if (Object.keys(rest).length > 0) this.#plain.read(rest, report);
    } else if (isMap(data) && this.#memory.schema !== undefined)
      this.#memory.schema.take(data, this.#typed, report);
    else this.#plain.read(data, report);
  }

  data(): Record<string, unknown> {
    return { ...this.#plain.data(), ...(!this.#typed.isEmpty() && this.#typed.data()) };
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof DescribedStats)) return this;
    this.#plain.aggregate(other.#plain);
    this.#typed.merge(other.#typed);
    return this;
  }

  reduce(): Reduced {
    return [...this.#plain.reduce(), ...this.#typed.reduce((name) => FLOAT.test(name))];
  }

  reset(): void {
    this.#plain.reset();
    this.#typed.clear();
  }

  isEmpty(): boolean {
    return this.#plain.isEmpty() && this.#typed.isEmpty();
  }

  /** Of typed payloads, those that vLLM's offloading connector counts. */
  totals(): TransferTotals {
    const plain = this.#plain.totals();
    const sum = (of: (way: string) => number): number => of('load') + of('store');
    const cell = (way: string, what: string) => this.#typed.cell(`vllm:kv_offload_${way}_${what}`);
    const allocation = this.#typed.cell('vllm:kv_offload_allocation_failure')?.value ?? 0;
    return {
      transfers: plain.transfers + sum((way) => cell(way, 'size')?.column.count ?? 0),
      sizeBytes: plain.sizeBytes + sum((way) => cell(way, 'bytes')?.value ?? 0),
      busyS: plain.busyS + sum((way) => cell(way, 'time')?.value ?? 0),
      failures: allocation > 0 ? { ...plain.failures, allocation } : plain.failures,
    };
  }

  record(sink: MetricSink): void {
    this.#plain.record(sink);
    for (const metric of this.#typed.metrics()) {
      const spec = this.#specOf(metric);
      for (const cell of metric.cells.values()) {
        recordCell(sink, spec, cell, labelsOf(cell));
        recordOldNames(sink, metric.name, cell);
      }
    }
  }

  #specOf({ name, type, cells }: TypedMetric): FamilySpec {
    const known = FLAT.get(name);
    if (known?.type === type && [...cells.values()].every(({ labels }) => labels.length === 0)) return known;
    const { schema } = this.#memory;
    const help = schema?.help(name) ?? `${name}, as its connector tells it`;
    const width = Math.max(...[...cells.values()].map(({ labels }) => labels.length));
    const labels = [...ENGINE, ...Array.from({ length: width }, (_, i) => `label_${i}`)];
    const total = type === 'counter' && !name.endsWith('_total') ? `${name}_total` : name;
    const buckets = type === 'histogram' ? { buckets: schema?.buckets(name) ?? DEFAULT_BUCKETS } : {};
    return { name: total, type, help, labels, ...buckets };
  }
}

/** Payloads carry the values of labels, not their names. */
function labelsOf({ labels }: TypedCell): Record<string, string> {
  return Object.fromEntries(labels.map((value, i) => [`label_${i}`, value]));
}

function recordCell(
  sink: MetricSink,
  spec: FamilySpec,
  { value, column }: TypedCell,
  labels: Record<string, string>,
): void {
  if (spec.type === 'counter') sink.counter(spec as CounterSpec, labels).inc(value);
  else if (spec.type === 'gauge') sink.gauge(spec as GaugeSpec, labels).set(value);
  else {
    const histogram = sink.histogram(spec as HistogramSpec, labels);
    column.visit((each, times) => histogram.observe(each, times));
  }
}

/** The names from before, which dashboards have. */
function recordOldNames(sink: MetricSink, name: string, cell: TypedCell): void {
  const [, way, what] = /^vllm:kv_offload_(load|store)_(bytes|time|size)$/.exec(name) ?? [];
  if (way === undefined || cell.labels.length > 0) return;
  const labels = { transfer_type: DIRECTIONS[way as keyof typeof DIRECTIONS] };
  if (what === 'bytes') sink.counter(OFFLOAD.totalBytesTotal, labels).inc(cell.value);
  else if (what === 'time') sink.counter(OFFLOAD.totalTimeTotal, labels).inc(cell.value);
  else {
    const histogram = sink.histogram(OFFLOAD.size, labels);
    cell.column.visit((each, times) => histogram.observe(each, times));
  }
}
