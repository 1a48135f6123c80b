import type { TraceRow } from '../../formats/traces/trace.ts';
import { Fenwick } from '../../math/fenwick.ts';

/** Hit rate that an LRU cache of so many blocks would reach on the whole trace. */
export interface CachePoint {
  readonly capacityBlocks: number;
  readonly hitRate: number;
}

export interface ReuseFacts {
  readonly curve: readonly CachePoint[];
  /** Share of blocks that an infinite cache would hold. */
  readonly infiniteHitRate: number;
  /** Seconds between two uses of a block, ascending; empty without timestamps. */
  readonly reuseGapsS: Float64Array;
}

/**
 * LRU stack distances of all blocks in one pass (Mattson 1970, with a Fenwick tree: O(n log n)). A block hits when
 * fewer than `capacity` other blocks were used since its last use, and all blocks before it in its prompt hit too.
 */
export function cacheFacts(rows: readonly TraceRow[], capacities: readonly number[]): ReuseFacts {
  const uses = rows.reduce((sum, row) => sum + (row.hashIds?.length ?? 0), 0);
  const live = new Fenwick(uses);
  const lastUse = new Map<number, { at: number; ms: number | undefined }>();
  const hits = new Float64Array(capacities.length);
  const gaps: number[] = [];
  let infinite = 0;
  let now = 0;
  for (const { hashIds = [], timestampMs } of rows) {
    // Distances are taken before the row's own uses: a prompt does not push out its own blocks.
    const start = now;
    let deepest = 0;
    let leads = true;
    for (const id of hashIds) {
      const last = lastUse.get(id);
      const isOld = last !== undefined && last.at < start;
      leads &&= isOld;
      if (leads && last !== undefined) {
        deepest = Math.max(deepest, live.before(uses) - live.before(last.at + 1) + 1);
        infinite++;
        capacities.forEach((capacity, i) => {
          if (deepest <= capacity) hits[i]!++;
        });
      }
      if (isOld && last.ms !== undefined && timestampMs !== undefined)
        gaps.push((timestampMs - last.ms) / 1000);
      if (last !== undefined) live.add(last.at, -1);
      live.add(now, 1);
      lastUse.set(id, { at: now++, ms: timestampMs });
    }
  }
  const share = (count: number): number => (uses > 0 ? count / uses : 0);
  return {
    curve: capacities.map((capacityBlocks, i) => ({ capacityBlocks, hitRate: share(hits[i]!) })),
    infiniteHitRate: share(infinite),
    reuseGapsS: Float64Array.from(gaps).sort(),
  };
}
