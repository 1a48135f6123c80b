import type { CancelTimer, Clock } from '../base/clock.ts';

export interface HandoffDeskOptions {
  readonly clock: Clock;
  /** How long blocks wait for who fetches them. */
  readonly leaseMs?: number;
  /** Prompts kept at once; the oldest gives way. */
  readonly limit?: number;
  /** The KV of a prompt was not fetched in time. */
  readonly onExpired: () => void;
}

/** Whoever waits in a room; undefined: the other did not come. */
type Arrival = (tokens: number | undefined) => void;

interface Offer {
  readonly tokens: number;
  readonly cancel: CancelTimer;
  /** Told whether it was fetched. */
  readonly settled: (fetched: boolean) => void;
}

/** vLLM's lease of blocks that another engine is to read. */
const LEASE_MS = 30_000;
const LIMIT = 8192;
const NOBODY = (): void => {};

/**
 * Where a prefilling engine keeps the KV of prompts until others fetch it: by the request's name, as vLLM does, or
 * in rooms to which both sides come in any order, as in SGLang. Each is given once.
 */
export class HandoffDesk {
  readonly #options: HandoffDeskOptions;
  readonly #offers = new Map<string, Offer>();
  readonly #waiting = new Map<string, { readonly arrival: Arrival; readonly cancel: CancelTimer }>();

  constructor(options: HandoffDeskOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#offers.size;
  }

  /** Keeps a prompt's KV under a name for as long as the lease lasts. */
  offer(name: string, tokens: number, settled: (fetched: boolean) => void = NOBODY): void {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      this.#waiting.delete(name);
      waiting.cancel();
      waiting.arrival(tokens);
      settled(true);
      return;
    }
    const { clock, leaseMs = LEASE_MS, limit = LIMIT } = this.#options;
    const cancel = clock.at(clock.nowMs() + leaseMs, () => this.#expire(name));
    this.#offers.set(name, { tokens, cancel, settled });
    if (this.#offers.size > limit) this.#expire(this.#offers.keys().next().value!);
  }

  /** Its tokens, once; undefined if there is nothing of that name, or not any more. */
  take(name: string): number | undefined {
    const offer = this.#offers.get(name);
    if (offer === undefined) return undefined;
    this.#offers.delete(name);
    offer.cancel();
    offer.settled(true);
    return offer.tokens;
  }

  /** As {@link take}, but waits for the other side; undefined if it does not come in time. */
  meet(name: string): Promise<number | undefined> {
    const there = this.take(name);
    if (there !== undefined) return Promise.resolve(there);
    const { clock, leaseMs = LEASE_MS, limit = LIMIT } = this.#options;
    if (this.#waiting.has(name) || this.#waiting.size >= limit) return Promise.resolve(undefined);
    return new Promise((arrival) => {
      const cancel = clock.at(clock.nowMs() + leaseMs, () => this.leave(name));
      this.#waiting.set(name, { arrival, cancel });
    });
  }

  /** Nobody will come to that room any more. */
  leave(name: string): void {
    const waiting = this.#waiting.get(name);
    this.#waiting.delete(name);
    waiting?.cancel();
    waiting?.arrival(undefined);
  }

  stop(): void {
    for (const { cancel, settled } of this.#offers.values()) {
      cancel();
      settled(false);
    }
    this.#offers.clear();
    for (const name of [...this.#waiting.keys()]) this.leave(name);
  }

  #expire(name: string): void {
    const offer = this.#offers.get(name);
    if (offer === undefined) return;
    this.#offers.delete(name);
    offer.cancel();
    this.#options.onExpired();
    offer.settled(false);
  }
}
