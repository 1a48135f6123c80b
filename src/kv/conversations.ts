import type { Clock } from '../base/clock.ts';

/** One call's place in its conversation. */
export interface ConversationCall {
  /** From 1. */
  readonly callIndex: number;
  /** Calls expected after this one. */
  readonly remainingCalls: number;
}

interface Count {
  total: number;
  calls: number;
  expiresMs: number;
}

const MAX_CONVERSATIONS = 65_536;
const SHORTEST_LIFE_MS = 60_000;
const LONGEST_LIFE_MS = 3_600_000;
const DEFAULT_INTERARRIVAL_MS = 750;

/**
 * Counts the calls of each conversation, so that a total told with every call becomes a number of calls left: the
 * budget of NeMo Agent Toolkit's processor. A conversation ends with its last call, when it has been silent for twice
 * its expected length (a minute at the least), or when too many others are newer.
 */
export class Conversations {
  readonly #clock: Clock;
  readonly #capacity: number;
  /** Least recently used first. */
  readonly #counts = new Map<string, Count>();

  constructor(clock: Clock, capacity = MAX_CONVERSATIONS) {
    this.#clock = clock;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#counts.size;
  }

  /**
   * Counts one call. The largest total that was told holds (at least 1); while none was, the calls are counted and
   * none is expected.
   */
  next(prefixId: string, totalRequests?: number, interarrivalMs = DEFAULT_INTERARRIVAL_MS): ConversationCall {
    const nowMs = this.#clock.nowMs();
    const known = this.#counts.get(prefixId);
    const count =
      known !== undefined && nowMs < known.expiresMs ? known : { total: 0, calls: 0, expiresMs: 0 };
    count.total = Math.max(count.total, totalRequests ?? 0);
    count.calls++;
    this.#counts.delete(prefixId);
    const remainingCalls = Math.max(0, count.total - count.calls);
    const call = { callIndex: count.calls, remainingCalls };
    if (count.total > 0 && remainingCalls === 0) return call;
    const lifeMs = 2 * count.total * interarrivalMs;
    count.expiresMs = nowMs + Math.min(LONGEST_LIFE_MS, Math.max(SHORTEST_LIFE_MS, lifeMs));
    this.#counts.set(prefixId, count);
    if (this.#counts.size > this.#capacity) this.#dropOldest();
    return call;
  }

  #dropOldest(): void {
    const [oldest] = this.#counts.keys();
    if (oldest !== undefined) this.#counts.delete(oldest);
  }
}
