export const QUEUE_POLICIES = ['fcfs', 'lcfs', 'wspt'] as const;
export type QueuePolicy = (typeof QUEUE_POLICIES)[number];

/** What the order of a waiting request depends on. */
export interface QueueFacts {
  /** Seconds of head start; below 0 counts as 0. */
  readonly priority: number;
  /** Seconds on any clock that all requests share. */
  readonly arrivalS: number;
  readonly isl: number;
  /** Prompt tokens cached on the rank that has most. */
  readonly bestCachedTokens: number;
}

/** The key of a request in its class: the higher goes first. */
export function queueKey(policy: QueuePolicy, facts: QueueFacts): number {
  const headStart = Math.max(0, facts.priority);
  switch (policy) {
    case 'fcfs':
      return headStart - facts.arrivalS;
    case 'lcfs':
      return headStart + facts.arrivalS;
    case 'wspt':
      // Weighted shortest processing time, prefill standing for the processing.
      return (1 + headStart) / Math.max(1, facts.isl - facts.bestCachedTokens);
  }
}
