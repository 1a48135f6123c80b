import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { ApiKey } from './api-key-file.ts';

export type LimitName = 'concurrency' | 'requests' | 'tokens';

/** One request's claim on its key; ended exactly once. */
export interface QuotaClaim {
  /** Throws `KV_RATE_LIMITED` when the key cannot afford the prompt. */
  prompt(tokens: number): void;
  /** The request is over, with so many tokens of answer. */
  end(outputTokens: number): void;
}

const MINUTE_MS = 60_000;

/** What one key has used of its limits. Answers are charged when they are there, so the next request waits for them. */
export class KeyQuota {
  readonly name: string;
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #requests: Allowance | undefined;
  readonly #tokens: Allowance | undefined;
  readonly #onLimited: (key: string, limit: LimitName) => void;
  #active = 0;

  constructor(
    { name, limits }: ApiKey,
    clock: Clock,
    onLimited: (key: string, limit: LimitName) => void = () => {},
  ) {
    this.name = name;
    this.#clock = clock;
    this.#concurrency = limits.concurrency ?? Number.POSITIVE_INFINITY;
    const perMinute = (limit: number | undefined) =>
      limit === undefined ? undefined : new Allowance(limit, clock.nowMs());
    this.#requests = perMinute(limits.requestsPerMinute);
    this.#tokens = perMinute(limits.tokensPerMinute);
    this.#onLimited = onLimited;
  }

  /** Throws `KV_RATE_LIMITED` when the key has no more requests. */
  claim(): QuotaClaim {
    if (this.#active >= this.#concurrency)
      throw this.#limited('concurrency', `${this.#concurrency} requests at once`, 1000);
    this.#take(this.#requests, 'requests', 1);
    this.#active++;
    let ended = false;
    return {
      prompt: (tokens) => this.#take(this.#tokens, 'tokens', tokens),
      end: (outputTokens) => {
        if (ended) return;
        ended = true;
        this.#active--;
        this.#tokens?.charge(outputTokens, this.#clock.nowMs());
      },
    };
  }

  #take(allowance: Allowance | undefined, what: 'requests' | 'tokens', amount: number): void {
    if (allowance === undefined) return;
    const waitMs = allowance.waitMs(amount, this.#clock.nowMs());
    if (waitMs > 0) throw this.#limited(what, `${allowance.perMinute} ${what} a minute`, waitMs);
    allowance.charge(amount, this.#clock.nowMs());
  }

  #limited(limit: LimitName, shown: string, waitMs: number) {
    this.#onLimited(this.name, limit);
    return fail('KV_RATE_LIMITED', {
      key: this.name,
      limit: shown,
      retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)),
    });
  }
}

/** A minute's worth that fills up evenly; may be overdrawn. */
class Allowance {
  readonly perMinute: number;
  #left: number;
  #atMs: number;

  constructor(perMinute: number, nowMs: number) {
    this.perMinute = perMinute;
    this.#left = perMinute;
    this.#atMs = nowMs;
  }

  /** Until so much is there; what exceeds a whole minute's worth needs a full one. */
  waitMs(amount: number, nowMs: number): number {
    this.#fill(nowMs);
    return ((Math.min(amount, this.perMinute) - this.#left) * MINUTE_MS) / this.perMinute;
  }

  charge(amount: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#left -= amount;
  }

  #fill(nowMs: number): void {
    const grown = (Math.max(0, nowMs - this.#atMs) * this.perMinute) / MINUTE_MS;
    this.#left = Math.min(this.perMinute, this.#left + grown);
    this.#atMs = nowMs;
  }
}
