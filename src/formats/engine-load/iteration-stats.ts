import type { EngineLoad } from './engine-load.ts';

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads what `trtllm-serve` answers to `GET /metrics`: a list of statistics of its latest iterations, of which the last
 * of each rank counts. Empty while nothing has run since it was asked last; undefined for what is no such list.
 */
export function readIterationStats(body: unknown): EngineLoad[] | undefined {
  if (!Array.isArray(body)) return undefined;
  const latest = new Map<number, Json>();
  for (const each of body) if (isMap(each)) latest.set(count(each.attentionDpRank) ?? 0, each);
  return [...latest].sort(([a], [b]) => a - b).map(([rank, stats]) => loadOf(rank, stats));
}

function loadOf(rank: number, stats: Json): EngineLoad {
  const cache = isMap(stats.kvCacheStats) ? stats.kvCacheStats : {};
  const usedBlocks = count(cache.usedNumBlocks);
  const totalBlocks = count(cache.maxNumBlocks);
  const blockSize = count(cache.tokensPerBlock);
  const tokens = (blocks: number | undefined): number | undefined =>
    blocks === undefined || blockSize === undefined ? undefined : blocks * blockSize;
  const hits = count(cache.reusedBlocks);
  const misses = count(cache.missedBlocks);
  return {
    rank,
    running: count(stats.numActiveRequests),
    waiting: count(stats.numQueuedRequests),
    kvUsage: usedBlocks === undefined || !totalBlocks ? undefined : usedBlocks / totalBlocks,
    usedBlocks,
    totalBlocks,
    blockSize,
    usedTokens: tokens(usedBlocks),
    totalTokens: tokens(totalBlocks),
    prefixHits: tokens(hits),
    prefixQueries: tokens(hits === undefined || misses === undefined ? undefined : hits + misses),
    hitRate: ratio(cache.cacheHitRate),
    genThroughput: undefined,
  };
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

function ratio(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= 1 ? value : undefined;
}
