import type { Gauge } from './gauge.ts';
import type { MetricsNode } from './hierarchy.ts';
import { KV_STATS } from './names/worker.ts';

/** What an engine says of a rank's KV cache with each forward pass. */
export interface KvStats {
  readonly activeBlocks: number;
  readonly totalBlocks: number;
  /** Ratio 0..1, in single precision on the wire. */
  readonly gpuCacheUsage: number;
  /** Ratio 0..1, in single precision on the wire. */
  readonly gpuPrefixCacheHitRate: number;
}

/** `dynamo_component_kvstats_*` of a component: sums of blocks and block-weighted means of ratios over its ranks. */
export class KvStatsMetrics {
  readonly #active: Gauge;
  readonly #total: Gauge;
  readonly #usage: Gauge;
  readonly #hitRate: Gauge;
  readonly #ranks: (KvStats | undefined)[];

  /** `ranks` are the declared data-parallel ranks; records of others are refused. */
  constructor({ registry }: MetricsNode, ranks = 1) {
    this.#active = registry.gauge(KV_STATS.activeBlocks).with();
    this.#total = registry.gauge(KV_STATS.totalBlocks).with();
    this.#usage = registry.gauge(KV_STATS.gpuCacheUsagePercent).with();
    this.#hitRate = registry.gauge(KV_STATS.gpuPrefixCacheHitRate).with();
    this.#ranks = new Array<KvStats | undefined>(ranks).fill(undefined);
  }

  /** Takes over a rank's record; false if the rank is not a declared one. Values not finite keep the last ones. */
  publish(dpRank: number, stats: KvStats): boolean {
    if (!Number.isInteger(dpRank) || dpRank < 0 || dpRank >= this.#ranks.length) return false;
    const last = this.#ranks[dpRank];
    this.#ranks[dpRank] = {
      activeBlocks: finite(stats.activeBlocks, last?.activeBlocks),
      totalBlocks: finite(stats.totalBlocks, last?.totalBlocks),
      gpuCacheUsage: ratio(stats.gpuCacheUsage, last?.gpuCacheUsage),
      gpuPrefixCacheHitRate: ratio(stats.gpuPrefixCacheHitRate, last?.gpuPrefixCacheHitRate),
    };
    this.#show();
    return true;
  }

  /** A rank has gone; the rest is shown. */
  removeRank(dpRank: number): void {
    if (dpRank in this.#ranks) this.#ranks[dpRank] = undefined;
    this.#show();
  }

  #show(): void {
    const known = this.#ranks.filter((stats) => stats !== undefined);
    this.#active.set(sum(known, (stats) => stats.activeBlocks));
    this.#total.set(sum(known, (stats) => stats.totalBlocks));
    this.#usage.set(blockMean(known, (stats) => stats.gpuCacheUsage));
    this.#hitRate.set(blockMean(known, (stats) => stats.gpuPrefixCacheHitRate));
  }
}

function finite(value: number, last = 0): number {
  return Number.isFinite(value) ? value : last;
}

/** The single-precision value widened to double, as readers of the reference see it, within 0..1. */
function ratio(value: number, last = 0): number {
  return Number.isFinite(value) ? Math.min(1, Math.max(0, Math.fround(value))) : last;
}

function sum(ranks: readonly KvStats[], of: (stats: KvStats) => number): number {
  return ranks.reduce((total, stats) => total + of(stats), 0);
}

function blockMean(ranks: readonly KvStats[], of: (stats: KvStats) => number): number {
  // A mean of one value would round it.
  if (ranks.length === 1) return of(ranks[0]!);
  const blocks = sum(ranks, (stats) => stats.totalBlocks);
  return blocks === 0 ? 0 : sum(ranks, (stats) => of(stats) * stats.totalBlocks) / blocks;
}
