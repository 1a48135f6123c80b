import type { CandidateExplanation } from '../kv/decision-log.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { WorkerInfo } from '../kv/fleet.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import type { KvRouter } from '../kv/kv-router.ts';

/** A router together with its index, of which dumps are made. */
export interface IndexPartition {
  readonly router: KvRouter;
  readonly index: KvIndex;
}

/** The ranks of a worker with one more; ranks in between are there too, and hold nothing. */
export function withRank({ fleet }: KvRouter, { workerId, dpRank }: WorkerKey): WorkerInfo {
  const worker = fleet.worker(workerId);
  const ranks = [dpRank, ...(worker?.ranks ?? []).map(({ key }) => key.dpRank)];
  const dpStart = Math.min(...ranks);
  return { ...worker?.info, workerId, dpStart, dpSize: Math.max(...ranks) - dpStart + 1 };
}

/** What one worker holds of a prompt, in tokens; a lower tier counts what lies above it too. */
export interface TierTokens {
  readonly longest_matched: number;
  readonly gpu: number;
  /** On the device, by data-parallel rank. */
  readonly dp: Readonly<Record<string, number>>;
  readonly cpu: number;
  readonly disk: number;
}

/** The best of a worker's ranks in each tier. */
export function tierTokens(ranks: readonly CandidateExplanation[], blockSize: number): TierTokens {
  const most = (reach: (rank: CandidateExplanation) => number): number =>
    blockSize * Math.max(0, ...ranks.map(reach));
  const gpu = most((rank) => rank.deviceBlocks);
  const cpu = most((rank) => rank.deviceBlocks + rank.hostPinnedBlocks);
  const disk = most(
    (rank) => rank.deviceBlocks + rank.hostPinnedBlocks + rank.diskBlocks + rank.externalBlocks,
  );
  const dp = ranks.map(({ worker, deviceBlocks }) => [worker.dpRank, blockSize * deviceBlocks]);
  return { longest_matched: Math.max(gpu, cpu, disk), gpu, dp: Object.fromEntries(dp), cpu, disk };
}
