import type { FleetRank, FleetWorker } from './fleet.ts';

/** When a rank counts as overloaded; each is off when undefined, and any one suffices. */
export interface BusyThresholds {
  /** Share of the rank's KV blocks in use, 0..1. */
  readonly activeDecodeBlocks?: number | undefined;
  /** Prompt tokens still to compute. */
  readonly activePrefillTokens?: number | undefined;
  /** The same as a share of the tokens that the engine computes in one pass. */
  readonly activePrefillTokensFrac?: number | undefined;
}

/** What a router counted, or an engine reported; what is absent keeps its last value. */
export interface LoadReport {
  readonly activeDecodeBlocks?: number | undefined;
  readonly activePrefillTokens?: number | undefined;
  readonly kvUsedBlocks?: number | undefined;
  /** Upper bound of {@link BusyMonitor.foreignBlocks}, where more is known than the blocks in use tell. */
  readonly foreignBlocks?: number | undefined;
}

/** Taken for an engine that does not tell how many tokens it computes in one pass. */
export const UNKNOWN_BATCHED_TOKENS = 10_000_000;

interface RankLoad {
  activeBlocks: number;
  kvUsedBlocks: number;
  prefillTokens: number;
  /** See {@link BusyMonitor.foreignBlocks}; infinite before the engine's first report. */
  foreignBlocks: number;
  busy: boolean;
}

/** Latches overloaded ranks: one stays busy until all its last-seen signals are back under the thresholds. */
export class BusyMonitor {
  #thresholds: BusyThresholds;
  readonly #loads = new Map<number, RankLoad>();
  #busyRanks = 0;

  constructor(thresholds: BusyThresholds) {
    this.#thresholds = thresholds;
  }

  get thresholds(): BusyThresholds {
    return this.#thresholds;
  }

  /** Takes effect with each rank's next load update. */
  setThresholds(thresholds: BusyThresholds): void {
    this.#thresholds = thresholds;
  }

  observe(rank: FleetRank, report: LoadReport): void {
    let load = this.#loads.get(rank.id);
    if (load === undefined) {
      load = {
        activeBlocks: 0,
        kvUsedBlocks: 0,
        prefillTokens: 0,
        foreignBlocks: Number.POSITIVE_INFINITY,
        busy: false,
      };
      this.#loads.set(rank.id, load);
    }
    load.activeBlocks = report.activeDecodeBlocks ?? load.activeBlocks;
    load.kvUsedBlocks = report.kvUsedBlocks ?? load.kvUsedBlocks;
    load.prefillTokens = report.activePrefillTokens ?? load.prefillTokens;
    if (report.kvUsedBlocks !== undefined) {
      const unbooked = Math.max(0, report.kvUsedBlocks - load.activeBlocks);
      load.foreignBlocks = Math.min(load.foreignBlocks, unbooked);
    }
    load.foreignBlocks = Math.min(load.foreignBlocks, report.foreignBlocks ?? Number.POSITIVE_INFINITY);
    const busy = this.#isOver(rank, load);
    if (busy !== load.busy) this.#busyRanks += busy ? 1 : -1;
    load.busy = busy;
  }

  /**
   * Blocks in use that were not booked here: of requests from before this router came to know the rank. They only
   * become fewer, so that what was booked later never counts twice.
   */
  foreignBlocks(rankId: number): number {
    const blocks = this.#loads.get(rankId)?.foreignBlocks ?? 0;
    return Number.isFinite(blocks) ? blocks : 0;
  }

  isBusy(rankId: number): boolean {
    return this.#loads.get(rankId)?.busy === true;
  }

  /** A worker is overloaded when all its ranks are. */
  isWorkerBusy(worker: FleetWorker): boolean {
    return this.#busyRanks > 0 && worker.ranks.every(({ id }) => this.isBusy(id));
  }

  rankRemoved(rankId: number): void {
    if (this.isBusy(rankId)) this.#busyRanks--;
    this.#loads.delete(rankId);
  }

  #isOver({ worker }: FleetRank, load: RankLoad): boolean {
    const { activeDecodeBlocks, activePrefillTokens, activePrefillTokensFrac } = this.#thresholds;
    const { totalKvBlocks, maxNumBatchedTokens = UNKNOWN_BATCHED_TOKENS } = worker.info;
    if (activeDecodeBlocks !== undefined && totalKvBlocks !== undefined) {
      const limit = activeDecodeBlocks * totalKvBlocks;
      if (load.activeBlocks > limit || load.kvUsedBlocks > limit) return true;
    }
    if (activePrefillTokens !== undefined && load.prefillTokens > activePrefillTokens) return true;
    return (
      activePrefillTokensFrac !== undefined &&
      load.prefillTokens > Math.floor(activePrefillTokensFrac * maxNumBatchedTokens)
    );
  }
}
