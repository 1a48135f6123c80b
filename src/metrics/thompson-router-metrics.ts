import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { THOMPSON_ROUTER } from './names/thompson.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** A placed request, as the router of the pair shows it. */
export interface ThompsonDecision {
  readonly workerId: string;
  /** Share of the prompt that the worker has cached, 0..1. */
  readonly overlap: number;
  /** Undefined for the first call of a conversation. */
  readonly stayed: boolean | undefined;
  readonly reuseBudget: number;
  readonly tokens: number;
}

/** What was learned of a request. */
export interface ThompsonFeedback {
  readonly workerId: string;
  readonly latencyMs: number;
  readonly reward: number;
  readonly alpha: number;
  readonly beta: number;
}

/** `thompson_router_*`: the router of the Thompson pair. */
export class ThompsonRouterMetrics {
  readonly #decisions: Family<'worker_id', Counter>;
  readonly #overlap: Family<'worker_id', Gauge>;
  readonly #latency: Family<'worker_id', Histogram>;
  readonly #reward: Family<'worker_id', Gauge>;
  readonly #alpha: Family<'worker_id', Gauge>;
  readonly #beta: Family<'worker_id', Gauge>;
  readonly #pending: Gauge;
  readonly #prefixes: Gauge;
  readonly #timeouts: Counter;
  readonly #sticky: Counter;
  readonly #switches: Counter;
  readonly #budget: Histogram;
  readonly #tokens: Histogram;

  constructor({ service }: ProcessMetrics) {
    this.#decisions = service.counter(THOMPSON_ROUTER.decisionsTotal);
    this.#overlap = service.gauge(THOMPSON_ROUTER.kvOverlap);
    this.#latency = service.histogram(THOMPSON_ROUTER.feedbackLatencySeconds);
    this.#reward = service.gauge(THOMPSON_ROUTER.reward);
    this.#alpha = service.gauge(THOMPSON_ROUTER.betaAlpha);
    this.#beta = service.gauge(THOMPSON_ROUTER.betaBeta);
    this.#pending = service.gauge(THOMPSON_ROUTER.pendingDecisions).with();
    this.#prefixes = service.gauge(THOMPSON_ROUTER.prefixStateSize).with();
    this.#timeouts = service.counter(THOMPSON_ROUTER.timeoutPenaltiesTotal).with();
    this.#sticky = service.counter(THOMPSON_ROUTER.stickyDecisionsTotal).with();
    this.#switches = service.counter(THOMPSON_ROUTER.switchDecisionsTotal).with();
    this.#budget = service.histogram(THOMPSON_ROUTER.reuseBudget).with();
    this.#tokens = service.histogram(THOMPSON_ROUTER.tokensPerRequest).with();
  }

  decided({ workerId, overlap, stayed, reuseBudget, tokens }: ThompsonDecision): void {
    const labels = { worker_id: workerId };
    this.#decisions.with(labels).inc();
    this.#overlap.with(labels).set(overlap);
    if (stayed !== undefined) (stayed ? this.#sticky : this.#switches).inc();
    this.#budget.observe(reuseBudget);
    this.#tokens.observe(tokens);
  }

  learned({ workerId, latencyMs, reward, alpha, beta }: ThompsonFeedback): void {
    const labels = { worker_id: workerId };
    this.#latency.with(labels).observe(latencyMs / 1000);
    this.#reward.with(labels).set(reward);
    this.#alpha.with(labels).set(alpha);
    this.#beta.with(labels).set(beta);
  }

  /** Nothing was heard of a decision for so long that it was given up. */
  timedOut(): void {
    this.#timeouts.inc();
  }

  setSizes(pendingDecisions: number, prefixes: number): void {
    this.#pending.set(pendingDecisions);
    this.#prefixes.set(prefixes);
  }
}
