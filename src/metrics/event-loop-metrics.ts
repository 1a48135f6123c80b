import type { Clock } from '../base/clock.ts';
import type { Counter } from './counter.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { EVENT_LOOP } from './names/frontend.ts';
import { THREAD } from './names/kvasir.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** Sleep of the canary whose lateness is the event loop's delay. */
const CANARY_SLEEP_MS = 10;
const STALL_MS = 5;
const IDLE_REST_MS = 40;

/** How busy the JavaScript thread is. */
export class EventLoopMetrics {
  readonly #delay: Histogram;
  readonly #stalls: Counter;
  readonly #busyPerMille: Gauge;
  readonly #busy: Gauge;

  constructor({ service }: ProcessMetrics) {
    this.#delay = service.histogram(EVENT_LOOP.delaySeconds).with();
    this.#stalls = service.counter(EVENT_LOOP.stallTotal).with();
    this.#busyPerMille = service.gauge(EVENT_LOOP.busyRatio).with({ worker: '0' });
    this.#busy = service.gauge(THREAD.busyRatio).with();
  }

  /** A sleep of 10 ms took so long. */
  slept(elapsedMs: number): void {
    const lateMs = Math.max(0, elapsedMs - CANARY_SLEEP_MS);
    this.#delay.observe(lateMs / 1000);
    if (lateMs > STALL_MS) this.#stalls.inc();
  }

  /** Share of the time since the last call in which the loop was busy, 0..1. */
  setBusy(ratio: number): void {
    this.#busy.set(ratio);
    this.#busyPerMille.set(Math.round(ratio * 1000));
  }
}

/**
 * Sleeps 10 ms again and again and reports how late it wakes; returns how to stop. While `isBusy` says no it rests
 * between sleeps: each wake of an idle process takes 0.1 ms of CPU, a hundred of them a second an eighth of what
 * relaying 2500 chunks does (2026, two shared cores).
 */
export function watchEventLoop(
  metrics: EventLoopMetrics,
  clock: Clock,
  isBusy: () => boolean = () => true,
): () => void {
  let cancel = (): void => {};
  const sleep = (): void => {
    const startMs = clock.nowMs();
    cancel = clock.at(startMs + CANARY_SLEEP_MS, () => {
      metrics.slept(clock.nowMs() - startMs);
      if (isBusy()) sleep();
      else cancel = clock.at(clock.nowMs() + IDLE_REST_MS, sleep);
    });
  };
  sleep();
  return () => cancel();
}
