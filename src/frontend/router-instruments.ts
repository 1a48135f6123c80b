import type { WorkerKey } from '../kv/event.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouterObserver } from '../kv/observer.ts';
import type { FrontendMetrics } from '../metrics/frontend-metrics.ts';
import { IndexMetrics } from '../metrics/index-metrics.ts';
import type { ProcessMetrics } from '../metrics/process-metrics.ts';
import { RankMetrics } from '../metrics/rank-metrics.ts';
import { ReplicaMetrics, type ReplicaSeries } from '../metrics/replica-metrics.ts';
import { RouterOperationMetrics } from '../metrics/router-operation-metrics.ts';
import { RouterOverheadMetrics } from '../metrics/router-overhead-metrics.ts';
import { type BackpressureReason, RouterQueueMetrics } from '../metrics/router-queue-metrics.ts';
import { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { Hop } from './worker-pool.ts';

/** Which router an observer speaks for. */
export interface ObservedRouter {
  readonly model: string;
  readonly blockSize: number;
  readonly hop: Hop;
  /** Names of its queue's classes, all of which are shown from the start. */
  readonly policyClasses: readonly string[];
  /** Its choices follow those of another hop, which was measured: overlaps count there. */
  readonly repeats: () => boolean;
}

/** The component that a hop's requests go to. */
const COMPONENTS: Readonly<Record<Hop, string>> = { prefill: 'prefill', decode: 'backend' };

const REASONS: Readonly<Record<string, BackpressureReason>> = {
  request: 'request_limit',
  'raw ISL': 'raw_isl_token_limit',
  'cached token': 'cached_token_limit',
};

/** What all routers of a frontend are measured with; made once per process. */
export class RouterInstruments {
  readonly index: IndexMetrics;
  readonly #process: ProcessMetrics;
  readonly #namespace: string;
  readonly #requests = new Map<Hop, RouterRequestMetrics>();
  readonly #frontend: FrontendMetrics;
  readonly #overhead: RouterOverheadMetrics;
  readonly #ranks = new Map<Hop, RankMetrics>();
  readonly #queues: RouterQueueMetrics;
  readonly #replicas: ReplicaMetrics;
  readonly #operations: RouterOperationMetrics;

  constructor(process: ProcessMetrics, frontend: FrontendMetrics, namespace: string) {
    this.#process = process;
    this.#namespace = namespace;
    this.#frontend = frontend;
    this.#overhead = new RouterOverheadMetrics(process);
    this.requestsOf('decode');
    this.index = new IndexMetrics(process, namespace, 'backend');
    this.#ranksOf('decode');
    this.#queues = new RouterQueueMetrics(process);
    this.#replicas = new ReplicaMetrics(process);
    this.#operations = new RouterOperationMetrics(process);
  }

  /** Requests of a hop, under the component that it goes to; those of prefill show once there are any. */
  requestsOf(hop: Hop): RouterRequestMetrics {
    let requests = this.#requests.get(hop);
    if (requests === undefined) {
      requests = new RouterRequestMetrics(this.#process, this.#namespace, COMPONENTS[hop]);
      this.#requests.set(hop, requests);
    }
    return requests;
  }

  /** What a router shares with others is measured here. */
  replica(model: string, hop: Hop): ReplicaSeries {
    return this.#replicas.router(model, hop);
  }

  /** Carries what a router tells to the metrics that show it. */
  observe({ model, blockSize, hop, policyClasses, repeats }: ObservedRouter): RouterObserver {
    const { index } = this;
    const requests = this.requestsOf(hop);
    const frontend = this.#frontend;
    const overhead = this.#overhead;
    const ranks = this.#ranksOf(hop);
    const operations = this.#operations.of(hop);
    const named = (worker: WorkerKey) => ({ ...worker, workerType: hop });
    const queues = new Map(policyClasses.map((name) => [name, this.#queues.queue(model, hop, name)]));
    return {
      phases: ({ blockHashingMs, indexerFindMatchesMs, seqHashingMs, totalMs }) => {
        operations.indexed('match', indexerFindMatchesMs);
        const foundMs = blockHashingMs + indexerFindMatchesMs;
        overhead.observe(blockHashingMs, foundMs, foundMs + seqHashingMs, totalMs);
      },
      routed: ({ isl, overlapBlocks }) =>
        requests.routed(isl, blockSize, repeats() ? undefined : overlapBlocks),
      loadChanged: (worker, activeDecodeBlocks, activePrefillTokens) =>
        frontend.workers.worker(named(worker)).setLoad(activeDecodeBlocks, activePrefillTokens),
      workerRegistered: (worker) => ranks.add(named(worker)),
      workerRemoved: (worker) => {
        ranks.remove(named(worker));
        this.#operations.remove(worker.workerId, worker.dpRank);
      },
      eventApplied: (worker, kind, status, durationMs) => {
        index.applied(kind, status);
        operations.indexed(kind, durationMs);
        ranks.seen(named(worker));
      },
      eventWarning: (_, warning) => index.warned(warning),
      eventRejected: (worker, reason) => ranks.rejected(named(worker), reason),
      intakeChanged: (worker, state) => ranks.setState(named(worker), state),
      eventsMissed: (worker, batches) => ranks.missed(named(worker), batches),
      leaseExpired: () => operations.expired(),
      waited: (policyClass, waitMs, end) => operations.waited(policyClass, waitMs, end),
      queueChanged: (depth) =>
        queues.get(depth.policyClass)?.set(depth.requests, depth.islTokens, depth.cachedTokens),
      backpressure: (policyClass, reason) => {
        const known = REASONS[reason];
        if (known !== undefined) queues.get(policyClass)?.rejected(known);
      },
      predictionError: ({ worker, isl, predictedTokens, actualTokens, biasTokens }) => {
        requests.predicted(isl, predictedTokens, actualTokens);
        ranks.predicted(named(worker), predictedTokens - actualTokens, isl, biasTokens);
      },
    };
  }

  /** Shows a router's index and its ranks' states from now on; returns how to stop. */
  watch(router: KvRouter, hop: Hop, index: KvIndex | undefined): () => void {
    const states = () =>
      router.intake.states().map(({ worker, state }) => ({ rank: { ...worker, workerType: hop }, state }));
    const operations = this.#operations.of(hop);
    const showRequests = (): void =>
      operations.requests(
        router.loads().map(({ worker, activeRequests, prefillRequests }) => ({
          worker: worker.workerId,
          dpRank: worker.dpRank,
          prefill: prefillRequests,
          decode: activeRequests - prefillRequests,
        })),
      );
    const stops = [this.#ranksOf(hop).watch(states), this.#process.onScrape(showRequests)];
    if (index !== undefined) stops.push(this.index.watch(() => index.stats()));
    return () => {
      for (const stop of stops) stop();
    };
  }

  #ranksOf(hop: Hop): RankMetrics {
    let ranks = this.#ranks.get(hop);
    if (ranks === undefined) {
      ranks = new RankMetrics(this.#process, this.#namespace, COMPONENTS[hop]);
      this.#ranks.set(hop, ranks);
    }
    return ranks;
  }
}
