import type { Clock } from '../base/clock.ts';

const MAX_BURIED = 10_000;

/** Remembers who left, so that a late write does not bring a departed worker's series back. */
export class Tombstones {
  readonly #clock: Clock;
  readonly #forMs: number;
  /** Deadline per name, in order of burial. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock, forMs = 10 * 60_000) {
    this.#clock = clock;
    this.#forMs = forMs;
  }

  bury(name: string): void {
    this.#until.delete(name);
    this.#until.set(name, this.#clock.nowMs() + this.#forMs);
    for (const [oldest, untilMs] of this.#until) {
      if (untilMs > this.#clock.nowMs() && this.#until.size <= MAX_BURIED) break;
      this.#until.delete(oldest);
    }
  }

  isBuried(name: string): boolean {
    const untilMs = this.#until.get(name);
    return untilMs !== undefined && untilMs > this.#clock.nowMs();
  }

  /** Takes the name back into use at once: the worker has registered anew. */
  revive(name: string): void {
    this.#until.delete(name);
  }
}
