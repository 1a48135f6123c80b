import type { Clock } from '../base/clock.ts';
import type { Decision } from '../kv/decision-log.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';

export interface OpenDecision {
  readonly router: KvRouter;
  readonly selection: Selection;
  readonly atMs: number;
}

const MAX_OPEN = 65_536;

/** Decisions that wait for feedback, oldest first; what waits too long, or is too many, is given up. */
export class OpenDecisions {
  readonly #byId = new Map<string, OpenDecision>();
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #gaveUp: (decision: Decision) => void;

  constructor(clock: Clock, timeoutMs: number, gaveUp: (decision: Decision) => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#gaveUp = gaveUp;
  }

  get size(): number {
    return this.#byId.size;
  }

  add(router: KvRouter, selection: Selection): string {
    const id = crypto.randomUUID().replaceAll('-', '');
    this.#byId.set(id, { router, selection, atMs: this.#clock.nowMs() });
    this.sweep();
    return id;
  }

  /** Ends the wait; undefined for one that is not known (any more). */
  take(id: string): OpenDecision | undefined {
    const open = this.#byId.get(id);
    this.#byId.delete(id);
    return open;
  }

  sweep(): void {
    const oldestMs = this.#clock.nowMs() - this.#timeoutMs;
    for (const [id, { selection, atMs }] of this.#byId) {
      if (atMs > oldestMs && this.#byId.size <= MAX_OPEN) return;
      this.#byId.delete(id);
      selection.booking?.free('failed');
      this.#gaveUp(selection.decision);
    }
  }
}
