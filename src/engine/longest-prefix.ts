import type { KvCache } from './kv-cache.ts';
import type { Sequence } from './sequence.ts';
import type { WaitingQueue } from './waiting-queue.ts';

/** Beyond so many waiting requests matching them all costs too much, and order of arrival stands. */
const MAX_WAITING = 128;
/** Requests with at most so many cached tokens wait while an equal beginning is being computed by another. */
const SHARED_TOKENS = 32;

/**
 * SGLang's longest-prefix-match order: most cached tokens first; a request that has next to none and begins like an
 * earlier one goes last, as it will find that one's pages in the next pass.
 */
export function orderByPrefix(waiting: WaitingQueue, cache: KvCache, blockSize: number): void {
  if (waiting.size < 2 || waiting.size > MAX_WAITING) return;
  const beginning = Math.ceil(SHARED_TOKENS / blockSize);
  const begun = new Set<bigint>();
  const ranked = [...waiting].map((sequence) => {
    const cached = cache.findPrefix(sequence, Math.floor(sequence.length / blockSize)).length * blockSize;
    const demoted = cached <= SHARED_TOKENS && beginsLikeEarlier(sequence, beginning, begun);
    return { sequence, cached: Math.max(cached, sequence.computed), demoted };
  });
  ranked.sort((a, b) => Number(a.demoted) - Number(b.demoted) || b.cached - a.cached);
  waiting.replace(ranked.map(({ sequence }) => sequence));
}

function beginsLikeEarlier(sequence: Sequence, beginning: number, begun: Set<bigint>): boolean {
  if (sequence.promptBlocks < beginning) return false;
  const hash = sequence.blockHash(beginning - 1);
  if (begun.has(hash)) return true;
  begun.add(hash);
  return false;
}
