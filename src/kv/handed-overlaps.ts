import type { WorkerKey } from './event.ts';
import type { Overlaps } from './overlap.ts';
import type { RankHolding } from './route-request.ts';

/** Overlaps as a request brings them, by rank id; ranks that are not of the fleet are left out. */
export function handedOverlaps(
  held: readonly RankHolding[],
  ranks: number,
  rankOf: (worker: WorkerKey) => number | undefined,
): Overlaps {
  const [device, hostPinned, disk] = [new Uint32Array(ranks), new Uint32Array(ranks), new Uint32Array(ranks)];
  for (const { worker, deviceBlocks, hostPinnedBlocks, diskBlocks } of held) {
    const rank = rankOf(worker);
    if (rank === undefined) continue;
    device[rank] = deviceBlocks;
    hostPinned[rank] = hostPinnedBlocks;
    disk[rank] = diskBlocks;
  }
  return { device, hostPinned, disk, external: new Uint32Array(ranks) };
}
