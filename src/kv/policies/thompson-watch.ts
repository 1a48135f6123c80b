import type { Clock } from '../../base/clock.ts';
import type { ThompsonRouterMetrics } from '../../metrics/thompson-router-metrics.ts';
import type { Decision } from '../decision-log.ts';
import type { RouterObserver } from '../observer.ts';

const MAX_PREFIXES = 65_536;
const MAX_PENDING = 65_536;

/** Shows what a Thompson policy does as `thompson_router_*`, whoever asks it. */
export class ThompsonWatch {
  readonly #metrics: ThompsonRouterMetrics;
  readonly #clock: Clock;
  /** Worker of each conversation that expects further calls, least recently used first. */
  readonly #prefixes = new Map<string, string>();
  /** When each decision was made that nothing was heard of yet, oldest first. */
  readonly #pending = new Map<Decision, number>();
  readonly #timeoutMs: number;
  readonly observer: Pick<Required<RouterObserver>, 'decided' | 'settled'>;

  /** `timeoutMs`: what was not heard of for so long is not waited for. */
  constructor(metrics: ThompsonRouterMetrics, clock: Clock, timeoutMs: number) {
    this.#metrics = metrics;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.observer = {
      decided: (decision) => this.#decided(decision),
      settled: (decision, { latencyMs }, lesson) => {
        this.#pending.delete(decision);
        if (lesson !== undefined)
          metrics.learned({ workerId: decision.worker.workerId, latencyMs, ...lesson });
      },
    };
  }

  /** Brings the gauges up to date. */
  refresh(): void {
    const oldestMs = this.#clock.nowMs() - this.#timeoutMs;
    for (const [decision, atMs] of this.#pending) {
      if (atMs > oldestMs) break;
      this.gaveUp(decision);
    }
    this.#metrics.setSizes(this.#pending.size, this.#prefixes.size);
  }

  /** Nobody waits for the outcome of a decision any more. */
  gaveUp(decision: Decision): void {
    if (this.#pending.delete(decision)) this.#metrics.timedOut();
  }

  #decided(decision: Decision): void {
    const { worker, isl, predictedCachedTokens, conversation } = decision;
    const { workerId } = worker;
    const reuseBudget = conversation?.remainingCalls ?? 0;
    const last = conversation && this.#prefixes.get(conversation.prefixId);
    if (conversation !== undefined)
      this.#remember(conversation.prefixId, reuseBudget > 0 ? workerId : undefined);
    this.#pending.set(decision, this.#clock.nowMs());
    dropOldest(this.#pending, MAX_PENDING);
    this.#metrics.decided({
      workerId,
      overlap: Math.min(1, predictedCachedTokens / isl),
      stayed: last === undefined ? undefined : last === workerId,
      reuseBudget,
      tokens: isl,
    });
  }

  #remember(prefixId: string, workerId: string | undefined): void {
    this.#prefixes.delete(prefixId);
    if (workerId !== undefined) this.#prefixes.set(prefixId, workerId);
    dropOldest(this.#prefixes, MAX_PREFIXES);
  }
}

function dropOldest<K>(map: Map<K, unknown>, most: number): void {
  if (map.size > most) map.delete(map.keys().next().value!);
}
