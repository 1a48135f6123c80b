/** What measuring has taken. */
export interface Effort {
  readonly probes: number;
  /** Simulated time, ms; 0 on engines that run. */
  readonly virtualMs: number;
}

/**
 * Limits the effort of a run, and of those it goes on from, so that it ends repeats where a whole run would have. Never
 * by the time on the wall: a busy machine must not change results.
 */
export class ProbeBudget {
  readonly #mostProbes: number;
  readonly #mostVirtualMs: number;
  #probes = 0;
  #virtualMs = 0;

  constructor(limits: { readonly probes: number | undefined; readonly virtualSeconds: number | undefined }) {
    this.#mostProbes = limits.probes ?? Number.POSITIVE_INFINITY;
    this.#mostVirtualMs = (limits.virtualSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  }

  get spent(): Effort {
    return { probes: this.#probes, virtualMs: this.#virtualMs };
  }

  get exhausted(): boolean {
    return this.#probes >= this.#mostProbes || this.#virtualMs >= this.#mostVirtualMs;
  }

  spend({ probes, virtualMs }: Effort): void {
    this.#probes += probes;
    this.#virtualMs += virtualMs;
  }
}
