import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { type Log, SILENT_LOG } from '../base/log.ts';
import type { Registry } from '../metrics/registry.ts';
import { ConnectorRegistry } from './connector-registry.ts';
import type { DropReason } from './stats.ts';
import { type IntervalReport, TransferLog } from './transfer-log.ts';
import { TransferMetrics } from './transfer-metrics.ts';

export interface ConnectorTelemetryOptions {
  /** Name of the connector, as in vLLM's `kv_connector`. */
  readonly connector: string;
  readonly modelName: string;
  /** Numbers of the engines in this process: their data-parallel ranks. */
  readonly engines: readonly number[];
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log?: Log;
  readonly connectors?: ConnectorRegistry;
  /** Name of an engine in transfers, such as its `engine_id`, for the log. */
  readonly engineId?: (engine: number) => string;
}

/** Where the payloads of a connector go: into the log, per engine and interval, and into Prometheus series. */
export class ConnectorTelemetry {
  readonly #options: ConnectorTelemetryOptions;
  readonly #log: Log;
  readonly #metrics: TransferMetrics;
  readonly #logs: ReadonlyMap<number, TransferLog>;
  readonly #warned = new Set<DropReason>();

  constructor(options: ConnectorTelemetryOptions) {
    const { connector, modelName, engines, registry, clock, connectors = new ConnectorRegistry() } = options;
    this.#options = options;
    this.#log = options.log ?? SILENT_LOG;
    this.#metrics = new TransferMetrics(connector, { registry, connectors, modelName, engines });
    this.#logs = new Map(
      engines.map((engine) => [engine, new TransferLog(connector, connectors, clock.nowMs())]),
    );
  }

  /** Takes in what an engine's connector measured since its last payload. Never throws into serving. */
  observe(data: unknown, engine = 0): void {
    try {
      const log = this.#logs.get(engine);
      if (log === undefined) {
        this.#drop('unknown_engine');
        return;
      }
      const stats = log.observe(data, (reason, times) => this.#drop(reason, times));
      if (stats !== undefined) this.#metrics.record(this.#options.connector, stats, engine);
    } catch (thrown) {
      this.#drop('internal', 1, toError(thrown).message);
    }
  }

  /**
   * Ends the interval: one report for each engine that transferred. Lines go to the log with their engine, at debug
   * level from an `idle` process.
   */
  report(idle = false): ReadonlyMap<number, IntervalReport> {
    const { clock, connector, engineId } = this.#options;
    const reports = new Map<number, IntervalReport>();
    for (const [engine, log] of this.#logs) {
      const report = log.close(clock.nowMs());
      const bytesPerS = (report?.wallMbPerS ?? 0) * 2 ** 20;
      this.#metrics.throughput(connector, engine, bytesPerS);
      if (report === undefined) continue;
      reports.set(engine, report);
      const { totals, intervalMs, wallMbPerS, rankMbPerS, line } = report;
      const facts = { connector, engine, engineId: engineId?.(engine), ...totals };
      this.#log[idle ? 'debug' : 'info']({ ...facts, intervalMs, wallMbPerS, rankMbPerS }, line);
    }
    return reports;
  }

  #drop(reason: DropReason, times = 1, detail?: string): void {
    this.#metrics.dropped(this.#options.connector, reason, times);
    if (this.#warned.has(reason)) return;
    this.#warned.add(reason);
    const { connector } = this.#options;
    this.#log.warn(
      { connector, reason, detail },
      'telemetry of a KV connector was left out, and will be silently',
    );
  }
}
