import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { MetricsNode } from './hierarchy.ts';
import { ENGINE_GAUGES } from './names/worker.ts';

/** Per-rank gauges of an engine behind an endpoint, and the times of its start and end. */
export class EngineGauges {
  readonly #totalBlocks: readonly Gauge[];
  readonly #usage: readonly Gauge[];
  readonly #hitRate: Family<'dp_rank', Gauge>;
  readonly #load: Gauge;
  readonly #cleanup: Gauge;
  readonly #drain: Gauge;

  constructor({ registry }: MetricsNode, ranks = 1) {
    const labels = Array.from({ length: ranks }, (_, rank) => ({ dp_rank: String(rank) }));
    const totalBlocks = registry.gauge(ENGINE_GAUGES.totalBlocks);
    const usage = registry.gauge(ENGINE_GAUGES.gpuCacheUsagePercent);
    this.#totalBlocks = labels.map((rank) => totalBlocks.with(rank));
    this.#usage = labels.map((rank) => usage.with(rank));
    this.#hitRate = registry.gauge(ENGINE_GAUGES.kvCacheHitRate);
    this.#load = registry.gauge(ENGINE_GAUGES.modelLoadTimeSeconds).with();
    this.#cleanup = registry.gauge(ENGINE_GAUGES.cleanupTimeSeconds).with();
    this.#drain = registry.gauge(ENGINE_GAUGES.drainTimeSeconds).with();
  }

  /** A snapshot of a declared rank; a hit rate left out means that there is no data, not that it is zero. */
  setRank(dpRank: number, totalBlocks: number, usageRatio: number, hitRatio?: number): void {
    this.#totalBlocks[dpRank]?.set(totalBlocks);
    this.#usage[dpRank]?.set(clamp(usageRatio));
    if (hitRatio !== undefined && this.#usage[dpRank] !== undefined)
      this.#hitRate.with({ dp_rank: String(dpRank) }).set(clamp(hitRatio));
  }

  /** The engine is up, so long after its start began. */
  loaded(durationMs: number): void {
    this.#load.set(durationMs / 1000);
  }

  drained(durationMs: number): void {
    this.#drain.set(durationMs / 1000);
  }

  cleanedUp(durationMs: number): void {
    this.#cleanup.set(durationMs / 1000);
  }
}

function clamp(ratio: number): number {
  return Math.min(1, Math.max(0, ratio));
}
