/** One measured way to run a phase. */
export interface Candidate {
  readonly gpus: number;
  /** TTFT of prefill or ITL of decode. */
  readonly latencyMs: number;
  readonly tokensPerSPerGpu: number;
  /** Half of the 95 % interval of both, as a share of each; 0 or absent: not known to vary. */
  readonly uncertainty?: number;
}

export interface DecodeCandidate extends Candidate {
  /** Requests in flight. */
  readonly concurrency: number;
  /** KV capacity of the engine, in tokens. */
  readonly maxKvTokens: number;
}

export interface Choice<C extends Candidate> {
  readonly chosen: C;
  /** False: nothing met the target, and the fastest was taken. */
  readonly met: boolean;
  /** Wider engine that measured better, but within the intervals of both; undefined: the chosen one is the best. */
  readonly tiedWith?: C;
}

/** Thresholds for a planner that scales by load. */
export interface Bounds {
  readonly upper: number;
  readonly lower: number;
}

/**
 * The candidate with the best throughput per GPU inside the target, else the fastest one. Of those that cannot be told
 * from the best, because their intervals overlap, the one with the fewest GPUs. Equal ones: the first in sweep order.
 * Undefined only for no candidates.
 */
export function selectCandidate<C extends Candidate>(
  candidates: readonly C[],
  targetMs: number,
): Choice<C> | undefined {
  const meeting = candidates.filter((candidate) => candidate.latencyMs <= targetMs);
  const met = meeting.length > 0;
  const merit: Merit = met ? ({ tokensPerSPerGpu }) => tokensPerSPerGpu : ({ latencyMs }) => -latencyMs;
  const pool = met ? meeting : candidates;
  if (pool.length === 0) return undefined;
  const best = bestOf(pool, merit);
  const narrower = pool.filter((candidate) => candidate.gpus < best.gpus && overlap(candidate, best, merit));
  if (narrower.length === 0) return { chosen: best, met };
  const fewest = Math.min(...narrower.map(({ gpus }) => gpus));
  const chosen = bestOf(
    narrower.filter(({ gpus }) => gpus === fewest),
    merit,
  );
  return { chosen, met, tiedWith: best };
}

/** More is better. */
type Merit = (candidate: Candidate) => number;

function bestOf<C extends Candidate>(candidates: readonly C[], merit: Merit): C {
  return candidates.reduce((best, candidate) => (merit(candidate) > merit(best) ? candidate : best));
}

function overlap(worse: Candidate, better: Candidate, merit: Merit): boolean {
  const reach = (candidate: Candidate): number => Math.abs(merit(candidate)) * (candidate.uncertainty ?? 0);
  const gap = merit(better) - merit(worse);
  return gap > 0 && gap <= reach(worse) + reach(better);
}

/** Share of the KV cache that `concurrency` requests hold halfway through their output. */
export function kvUsage(concurrency: number, isl: number, osl: number, maxKvTokens: number): number {
  return (concurrency * (isl + osl / 2)) / maxKvTokens;
}

/** Queued prefills, per engine, that still leave the TTFT target reachable (20 % either side). */
export function prefillQueueBounds(targetTtftMs: number, ttftMs: number): Bounds {
  const queue = (share: number): number => Math.max(0.1, (targetTtftMs * share) / ttftMs - 1);
  return { upper: queue(1.2), lower: queue(0.8) };
}

/** KV utilisation band of 20 points either side of the chosen point. */
export function decodeKvBounds(usage: number): Bounds {
  return { upper: Math.min(1, usage + 0.2), lower: Math.max(0.1, usage - 0.2) };
}

/** Points that no other one beats in both latency and throughput, by rising latency. */
export function paretoFront<C extends Candidate>(candidates: readonly C[]): C[] {
  const sorted = candidates
    .filter(
      ({ latencyMs, tokensPerSPerGpu }) => Number.isFinite(latencyMs) && Number.isFinite(tokensPerSPerGpu),
    )
    .toSorted((a, b) => a.latencyMs - b.latencyMs || b.tokensPerSPerGpu - a.tokensPerSPerGpu);
  let best = Number.NEGATIVE_INFINITY;
  return sorted.filter(({ tokensPerSPerGpu }) => {
    const keep = tokensPerSPerGpu > best;
    best = Math.max(best, tokensPerSPerGpu);
    return keep;
  });
}
