import type { Counter } from './counter.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { WORK_QUEUE } from './names/worker.ts';
import type { Registry } from './registry.ts';

/** Work that waits at a worker's door, for the whole process; all start at zero. */
export class WorkQueueMetrics {
  readonly #firstResponse: Histogram;
  readonly #rejected: Counter;
  readonly #inEngine: Gauge;
  readonly #queued: Gauge;

  constructor(service: Registry) {
    this.#firstResponse = service.histogram(WORK_QUEUE.timeToFirstResponseSeconds).with();
    this.#rejected = service.counter(WORK_QUEUE.rejectedTotal).with();
    this.#inEngine = service.gauge(WORK_QUEUE.inEngine).with();
    this.#queued = service.gauge(WORK_QUEUE.queued).with();
  }

  /** From a payload's arrival until the engine returned its stream. */
  responded(durationMs: number): void {
    this.#firstResponse.observe(durationMs / 1000);
  }

  /** A request was turned away, engine and queue both being full. */
  rejected(): void {
    this.#rejected.inc();
  }

  set(inEngine: number, queued: number): void {
    this.#inEngine.set(inEngine);
    this.#queued.set(queued);
  }
}
