import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { OPERATION } from './names/kvasir.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import type { WorkerType } from './worker-load-metrics.ts';

export type IndexOperation = 'match' | 'stored' | 'removed' | 'cleared';

/** Requests of one rank by what they are at. */
export interface RankRequests {
  readonly worker: string;
  readonly dpRank: number;
  readonly prefill: number;
  readonly decode: number;
}

/** The operations of one router. */
export interface OperationSeries {
  indexed(operation: IndexOperation, durationMs: number): void;
  expired(): void;
  /** A request that waited was placed after so long, or its client left. */
  waited(policyClass: string, waitMs: number, end: 'placed' | 'left'): void;
  requests(ranks: readonly RankRequests[]): void;
}

/** What routers do besides choosing, and how long it takes them. */
export class RouterOperationMetrics {
  readonly #operations: Family<'operation' | 'worker_type', Counter>;
  readonly #seconds: Family<'operation' | 'worker_type', Counter>;
  readonly #active: Family<'worker' | 'dp_rank' | 'worker_type' | 'phase', Gauge>;
  readonly #expired: Family<'worker_type', Counter>;
  readonly #wait: Family<'worker_type' | 'policy_class', Histogram>;
  readonly #left: Family<'worker_type' | 'policy_class', Counter>;

  constructor({ service }: ProcessMetrics) {
    this.#operations = service.counter(OPERATION.indexOperationsTotal);
    this.#seconds = service.counter(OPERATION.indexOperationSecondsTotal);
    this.#active = service.gauge(OPERATION.activeRequests);
    this.#expired = service.counter(OPERATION.expiredTotal);
    this.#wait = service.histogram(OPERATION.queueWaitSeconds);
    this.#left = service.counter(OPERATION.queueLeftTotal);
  }

  /** The series of the routers of one kind of workers. */
  of(workerType: WorkerType): OperationSeries {
    const type = { worker_type: workerType };
    const bound = new Map<IndexOperation, readonly [Counter, Counter]>();
    const expired = this.#expired.with(type);
    return {
      indexed: (operation, durationMs) => {
        let pair = bound.get(operation);
        if (pair === undefined) {
          const labels = { ...type, operation };
          pair = [this.#operations.with(labels), this.#seconds.with(labels)];
          bound.set(operation, pair);
        }
        pair[0].inc();
        pair[1].inc(durationMs / 1000);
      },
      expired: () => expired.inc(),
      waited: (policyClass, waitMs, end) => {
        const labels = { ...type, policy_class: policyClass };
        if (end === 'placed') this.#wait.with(labels).observe(waitMs / 1000);
        else this.#left.with(labels).inc();
      },
      requests: (ranks) => {
        for (const { worker, dpRank, prefill, decode } of ranks) {
          const labels = { ...type, worker, dp_rank: String(dpRank) };
          this.#active.with({ ...labels, phase: 'prefill' }).set(prefill);
          this.#active.with({ ...labels, phase: 'decode' }).set(decode);
        }
      },
    };
  }

  /** The rank has left. */
  remove(worker: string, dpRank: number): void {
    this.#active.removeWhere({ worker, dp_rank: String(dpRank) });
  }
}
