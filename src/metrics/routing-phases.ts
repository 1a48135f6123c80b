/** Milliseconds that each phase of one routing decision took. */
export interface RoutingPhases {
  readonly blockHashing: number;
  readonly indexerFindMatches: number;
  readonly seqHashing: number;
  readonly scheduling: number;
  readonly total: number;
}

/** Phases of 1.0.2, in its order: hash, find, seq, schedule. Inputs are elapsed since the decision began. */
export function routingPhases(hashMs: number, findMs: number, seqMs: number, totalMs: number): RoutingPhases {
  return {
    blockHashing: hashMs,
    indexerFindMatches: since(findMs, hashMs),
    seqHashing: since(seqMs, findMs),
    scheduling: since(totalMs, seqMs),
    total: totalMs,
  };
}

function since(laterMs: number, earlierMs: number): number {
  return Math.max(0, laterMs - earlierMs);
}
