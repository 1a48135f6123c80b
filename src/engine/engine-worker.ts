import type { DecodeRun } from './decode-run.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { Pass } from './pass.ts';
import type { RankParts, Scheduler } from './scheduler.ts';
import { SglangScheduler } from './sglang-scheduler.ts';
import { VllmScheduler } from './vllm-scheduler.ts';

/** One rank of the kind that the settings ask for. */
export function createScheduler(parts: RankParts): Scheduler {
  return parts.settings.backend === 'sglang' ? new SglangScheduler(parts) : new VllmScheduler(parts);
}

/** Passes of a worker's ranks that started together; overwritten by the worker's next pass. */
export interface WorkerPass {
  startNs: number;
  /** When the slowest rank is done: nothing starts before. */
  endNs: number;
  /** Ranks that had work, ascending. */
  readonly ranks: { readonly rank: number; readonly pass: Pass }[];
}

/** The ranks of one worker. All that have work start a pass together; it ends with the slowest. */
export class EngineWorker {
  readonly settings: EngineSettings;
  readonly ranks: readonly Scheduler[];
  readonly #pass: WorkerPass = { startNs: 0, endNs: 0, ranks: [] };

  /** `parts.stream` is the worker's number in its fleet. */
  constructor(parts: RankParts) {
    const { dpSize } = parts.settings;
    this.settings = parts.settings;
    this.ranks = Array.from({ length: dpSize }, (_, rank) =>
      createScheduler({ ...parts, stream: parts.stream * dpSize + rank }),
    );
  }

  get hasWork(): boolean {
    for (const rank of this.ranks) if (rank.hasWork) return true;
    return false;
  }

  pass(nowNs: number): WorkerPass {
    const group = this.#pass;
    group.startNs = nowNs;
    group.endNs = nowNs;
    group.ranks.length = 0;
    for (const [rank, scheduler] of this.ranks.entries()) {
      if (!scheduler.hasWork) continue;
      const pass = scheduler.pass(nowNs);
      group.endNs = Math.max(group.endNs, pass.endNs);
      group.ranks.push({ rank, pass });
    }
    return group;
  }

  /** See `Scheduler.decodeRun`; ranks that share passes have none. */
  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined {
    return this.ranks.length === 1 ? this.ranks[0]!.decodeRun(nowNs, horizonNs) : undefined;
  }
}
