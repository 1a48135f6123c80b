import type { ConnectorRegistry } from './connector-registry.ts';
import { transferLogLine } from './log-line.ts';
import {
  type KvConnectorStats,
  type Reduced,
  type ReportDrop,
  reducedMap,
  type TransferTotals,
} from './stats.ts';

const BYTES_PER_MB = 2 ** 20;

/** What one engine transferred in an interval. */
export interface IntervalReport {
  /** vLLM's line. It pools ranks and leaves failures out; the other fields tell both. */
  readonly line: string;
  readonly stats: ReturnType<typeof reducedMap>;
  readonly totals: TransferTotals;
  readonly intervalMs: number;
  /** Bytes over the time that passed: what the system transferred. */
  readonly wallMbPerS: number;
  /** Bytes over the time of all transfers: the speed of a rank's transfer. */
  readonly rankMbPerS: number;
}

/** Collects one engine's payloads between two lines of the log. */
export class TransferLog {
  readonly #connector: string;
  readonly #registry: ConnectorRegistry;
  #stats: KvConnectorStats | undefined;
  #sinceMs: number;

  constructor(connector: string, registry: ConnectorRegistry, nowMs: number) {
    this.#connector = connector;
    this.#registry = registry;
    this.#sinceMs = nowMs;
  }

  /** Takes in a payload; what it returns holds this payload alone. */
  observe(data: unknown, report: ReportDrop): KvConnectorStats | undefined {
    const stats = this.#registry.build(this.#connector, data, report);
    if (stats === undefined || stats.isEmpty()) return undefined;
    this.#stats ??= this.#registry.build(this.#connector, {}, report);
    this.#stats?.aggregate(stats);
    return stats;
  }

  /** Ends the interval; undefined if nothing happened in it. */
  close(nowMs: number): IntervalReport | undefined {
    const intervalMs = nowMs - this.#sinceMs;
    const stats = this.#stats;
    this.#sinceMs = nowMs;
    this.#stats = undefined;
    if (stats === undefined || stats.isEmpty()) return undefined;
    const reduced: Reduced = stats.reduce();
    const totals = stats.totals();
    const megabytes = totals.sizeBytes / BYTES_PER_MB;
    return {
      line: transferLogLine(reduced),
      stats: reducedMap(reduced),
      totals,
      intervalMs,
      wallMbPerS: intervalMs > 0 ? megabytes / (intervalMs / 1000) : 0,
      rankMbPerS: totals.busyS > 0 ? megabytes / totals.busyS : 0,
    };
  }
}
