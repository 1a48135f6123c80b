import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import { POLICY_FILES } from './names/kvasir.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** What becomes of the files that routers keep. */
export class PolicyFileMetrics {
  readonly #saves: Family<'result', Counter>;
  readonly #refused: Counter;
  readonly #dropped: Counter;
  #droppedSoFar = 0;

  constructor({ service }: ProcessMetrics) {
    this.#saves = service.counter(POLICY_FILES.savesTotal);
    this.#refused = service.counter(POLICY_FILES.refusedTotal).with();
    this.#dropped = service.counter(POLICY_FILES.droppedTotal).with();
  }

  saved(result: 'success' | 'error'): void {
    this.#saves.with({ result }).inc();
  }

  refused(): void {
    this.#refused.inc();
  }

  /** Lines lost since the start. */
  setDropped(lines: number): void {
    this.#dropped.inc(lines - this.#droppedSoFar);
    this.#droppedSoFar = lines;
  }
}
