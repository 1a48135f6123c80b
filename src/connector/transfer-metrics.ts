import type { Counter } from '../metrics/counter.ts';
import type { Child, Family } from '../metrics/family.ts';
import type { Gauge } from '../metrics/gauge.ts';
import type { Histogram } from '../metrics/histogram.ts';
import { CONNECTOR } from '../metrics/names/kvasir.ts';
import type { Registry } from '../metrics/registry.ts';
import type { CounterSpec, FamilySpec, GaugeSpec, HistogramSpec } from '../metrics/spec.ts';
import type { ConnectorRegistry } from './connector-registry.ts';
import type { DropReason, KvConnectorStats, MetricSink } from './stats.ts';

export interface TransferMetricsOptions {
  readonly registry: Registry;
  readonly connectors: ConnectorRegistry;
  readonly modelName: string;
  /** Data-parallel ranks whose series exist from the start. */
  readonly engines: readonly number[];
}

type Labels = Readonly<Record<string, string>>;

/** Prometheus series of transfers: those of the connector by vLLM's names, and ours for any connector. */
export class TransferMetrics {
  readonly #options: TransferMetricsOptions;
  readonly #families = new Map<string, Family>();

  constructor(connector: string, options: TransferMetricsOptions) {
    this.#options = options;
    const own = [CONNECTOR.transfersTotal, CONNECTOR.bytesTotal, CONNECTOR.busySecondsTotal] as const;
    const { families = [] } = options.connectors.find(connector);
    for (const engine of options.engines) {
      for (const spec of families) this.#child(spec, this.#engineLabels(engine));
      for (const spec of own) this.#child(spec, { ...this.#engineLabels(engine), connector });
      this.throughput(connector, engine, 0);
    }
  }

  /** Adds the values of one payload of an engine; children of a connector of connectors under their own names. */
  record(connector: string, stats: KvConnectorStats, engine: number): void {
    if (stats.children === undefined) {
      this.#recordSimple(connector, stats, engine);
      return;
    }
    for (const [name, child] of stats.children()) this.#recordSimple(name, child, engine);
  }

  throughput(connector: string, engine: number, bytesPerS: number): void {
    const labels = { ...this.#engineLabels(engine), connector };
    (this.#child(CONNECTOR.throughput, labels) as Gauge).set(bytesPerS);
  }

  dropped(connector: string, reason: DropReason, times = 1): void {
    (this.#child(CONNECTOR.droppedTotal, { connector, reason }) as Counter).inc(times);
  }

  #recordSimple(connector: string, stats: KvConnectorStats, engine: number): void {
    stats.record(this.#sink(connector, engine));
    const labels = { ...this.#engineLabels(engine), connector };
    const add = (spec: CounterSpec, amount: number, more: Labels = {}): void =>
      (this.#child(spec, { ...labels, ...more }) as Counter).inc(amount);
    const { transfers, sizeBytes, busyS, failures } = stats.totals();
    add(CONNECTOR.transfersTotal, transfers);
    add(CONNECTOR.bytesTotal, sizeBytes);
    add(CONNECTOR.busySecondsTotal, busyS);
    for (const [kind, count] of Object.entries(failures)) add(CONNECTOR.failuresTotal, count, { kind });
  }

  #sink(connector: string, engine: number): MetricSink {
    const labels = { ...this.#engineLabels(engine), connector };
    return {
      histogram: (spec: HistogramSpec, more) => this.#child(spec, { ...labels, ...more }) as Histogram,
      counter: (spec: CounterSpec, more) => this.#child(spec, { ...labels, ...more }) as Counter,
      gauge: (spec: GaugeSpec, more) => this.#child(spec, { ...labels, ...more }) as Gauge,
    };
  }

  #engineLabels(engine: number): { readonly engine: string; readonly model_name: string } {
    return { engine: `${engine}`, model_name: this.#options.modelName };
  }

  /** Labels that the family does not have are left out by it. */
  #child(spec: FamilySpec, labels: Labels): Child {
    let family = this.#families.get(spec.name);
    if (family === undefined) {
      family = this.#register(spec) as unknown as Family;
      this.#families.set(spec.name, family);
    }
    return family.with(labels);
  }

  #register(spec: FamilySpec): unknown {
    const { registry } = this.#options;
    if (spec.type === 'histogram') return registry.histogram({ ...spec, type: 'histogram' });
    if (spec.type === 'gauge') return registry.gauge({ ...spec, type: 'gauge' });
    return registry.counter({ ...spec, type: 'counter' });
  }
}
