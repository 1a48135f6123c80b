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

/** Phases of the versions since 1.1, in their order: hash, seq, find, schedule; the index times itself. */
export interface NewRoutingPhases extends RoutingPhases {
  /** Left out when no shared cache was asked. */
  readonly sharedCacheQuery?: number;
}

/** The arithmetic of the versions since 1.1, to read a fleet that runs one; these phases do not sum to the total. */
export function newRoutingPhases(elapsed: {
  readonly hashMs: number;
  readonly seqMs: number;
  readonly findMs: number;
  readonly totalMs: number;
  readonly indexerMs: number;
  readonly sharedCacheMs?: number | undefined;
}): NewRoutingPhases {
  const { hashMs, seqMs, findMs, totalMs, indexerMs, sharedCacheMs } = elapsed;
  return {
    blockHashing: hashMs,
    seqHashing: since(seqMs, hashMs),
    indexerFindMatches: indexerMs,
    scheduling: since(totalMs, findMs),
    total: totalMs,
    ...(sharedCacheMs === undefined ? {} : { sharedCacheQuery: sharedCacheMs }),
  };
}
