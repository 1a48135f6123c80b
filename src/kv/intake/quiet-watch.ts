import type { CancelTimer, Clock } from '../../base/clock.ts';

/**
 * Asks a publisher that has been quiet whether it really published nothing: when the last batch before a pause is lost,
 * no later one shows the gap.
 */
export class QuietWatch {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #ask: (signal: AbortSignal) => Promise<void>;
  #cancel: CancelTimer | undefined;
  #asking: AbortController | undefined;
  #lastMs = 0;

  /** `ask` is called after every `everyMs` without a sound, and not again before it is done. */
  constructor(clock: Clock, everyMs: number, ask: (signal: AbortSignal) => Promise<void>) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#ask = ask;
  }

  start(): void {
    this.#lastMs = this.#clock.nowMs();
    this.#arm();
  }

  /** The publisher was heard. */
  heard(): void {
    this.#lastMs = this.#clock.nowMs();
  }

  stop(): void {
    this.#cancel?.();
    this.#asking?.abort();
  }

  #arm(): void {
    this.#cancel = this.#clock.at(this.#lastMs + this.#everyMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    // Heard meanwhile: a timer for each batch would cost more than this one.
    if (this.#clock.nowMs() - this.#lastMs < this.#everyMs) return this.#arm();
    const controller = new AbortController();
    this.#asking = controller;
    // Who does not answer is found dead by discovery.
    await this.#ask(controller.signal).catch(() => {});
    if (controller.signal.aborted) return;
    this.#lastMs = this.#clock.nowMs();
    this.#arm();
  }
}
