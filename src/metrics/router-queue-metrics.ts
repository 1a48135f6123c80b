import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { ROUTER_QUEUE } from './names/frontend.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import type { WorkerType } from './worker-load-metrics.ts';

export const BACKPRESSURE_REASONS = ['request_limit', 'raw_isl_token_limit', 'cached_token_limit'] as const;
export type BackpressureReason = (typeof BACKPRESSURE_REASONS)[number];

type QueueLabel = 'model' | 'policy_class' | 'worker_type';

/** The queue of one policy class. */
export interface QueueSeries {
  /** After each change of the queue, and every 60 s. */
  set(requests: number, islTokens: number, cachedTokens: number): void;
  rejected(reason: BackpressureReason): void;
}

/** `dynamo_frontend_router_queue_*`: what waits in the schedulers of a process. */
export class RouterQueueMetrics {
  readonly #requests: Family<QueueLabel, Gauge>;
  readonly #islTokens: Family<QueueLabel, Gauge>;
  readonly #cachedTokens: Family<QueueLabel, Gauge>;
  readonly #backpressure: Family<QueueLabel | 'reason', Counter>;

  constructor({ service }: ProcessMetrics) {
    this.#requests = service.gauge(ROUTER_QUEUE.pendingRequests);
    this.#islTokens = service.gauge(ROUTER_QUEUE.pendingIslTokens);
    this.#cachedTokens = service.gauge(ROUTER_QUEUE.pendingCachedTokens);
    this.#backpressure = service.counter(ROUTER_QUEUE.backpressureTotal);
  }

  /** Shows the queue of a policy class at zero; call it for each class when the scheduler starts. */
  queue(model: string | undefined, workerType: WorkerType, policyClass: string): QueueSeries {
    const labels = { model: model ?? 'unknown', worker_type: workerType, policy_class: policyClass };
    const requests = this.#requests.with(labels);
    const islTokens = this.#islTokens.with(labels);
    const cachedTokens = this.#cachedTokens.with(labels);
    const rejections = new Map(
      BACKPRESSURE_REASONS.map((reason) => [reason, this.#backpressure.with({ ...labels, reason })]),
    );
    return {
      set: (count, isl, cached) => {
        requests.set(count);
        islTokens.set(isl);
        cachedTokens.set(cached);
      },
      rejected: (reason) => rejections.get(reason)!.inc(),
    };
  }
}
