/** One measured way to run a phase. */
export interface Candidate {
  readonly gpus: number;
  /** TTFT of prefill or ITL of decode. */
  readonly latencyMs: number;
  readonly tokensPerSPerGpu: number;
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
}

/** Thresholds for a planner that scales by load. */
export interface Bounds {
  readonly upper: number;
  readonly lower: number;
}

/**
 * The candidate with the best throughput per GPU inside the target, else the fastest one. Equal ones: the first in
 * sweep order. Undefined only for no candidates.
 */
export function selectCandidate<C extends Candidate>(
  candidates: readonly C[],
  targetMs: number,
): Choice<C> | undefined {
  const meeting = candidates.filter((candidate) => candidate.latencyMs <= targetMs);
  const better =
    meeting.length > 0
      ? (a: C, b: C): boolean => a.tokensPerSPerGpu > b.tokensPerSPerGpu
      : (a: C, b: C): boolean => a.latencyMs < b.latencyMs;
  const pool = meeting.length > 0 ? meeting : candidates;
  if (pool.length === 0) return undefined;
  const chosen = pool.reduce((best, candidate) => (better(candidate, best) ? candidate : best));
  return { chosen, met: meeting.length > 0 };
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
