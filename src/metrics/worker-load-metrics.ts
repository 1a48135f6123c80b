import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { FRONTEND_WORKER } from './names/frontend.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import type { MetricsVersion } from './registry.ts';
import { Tombstones } from './tombstones.ts';

/** `prefill` only in disaggregated serving; a worker that does both counts as `decode`. */
export type WorkerType = 'prefill' | 'decode';

export interface WorkerIdentity {
  /** u64 as decimal text. */
  readonly workerId: string;
  /** Undefined where the engine has no data-parallel ranks. */
  readonly dpRank: number | undefined;
  readonly workerType: WorkerType;
}

type WorkerGauge = Family<'dp_rank' | 'worker_id' | 'worker_type', Gauge>;

/** The gauges of one rank, each shown from its first value on. */
export interface WorkerSeries {
  /** After each change of the router's own bookkeeping. */
  setLoad(activeDecodeBlocks: number, activePrefillTokens: number): void;
  /** At the first token, for the rank that did the prefill. */
  setFirstToken(ttftS: number, inputTokens: number): void;
  /** At every later chunk, for the rank that decodes. */
  setInterToken(itlS: number): void;
}

/** `dynamo_frontend_worker_*`: what the router last knew of each worker. */
export class WorkerLoadMetrics {
  readonly #version: MetricsVersion;
  readonly #families: readonly WorkerGauge[];
  readonly #tombstones: Tombstones;
  readonly #bound = new Map<string, LiveWorkerSeries>();

  constructor(metrics: ProcessMetrics) {
    this.#version = metrics.version;
    this.#tombstones = new Tombstones(metrics.clock);
    this.#families = [
      FRONTEND_WORKER.activeDecodeBlocks,
      FRONTEND_WORKER.activePrefillTokens,
      FRONTEND_WORKER.lastTimeToFirstTokenSeconds,
      FRONTEND_WORKER.lastInputSequenceTokens,
      FRONTEND_WORKER.lastInterTokenLatencySeconds,
    ].map((spec) => metrics.service.gauge(spec));
  }

  /** The series of a rank, to be kept while the worker lives; after {@link remove} its writes show nowhere. */
  worker(identity: WorkerIdentity): WorkerSeries {
    const { workerId, dpRank, workerType } = identity;
    const key = `${workerId}/${dpRank}/${workerType}`;
    const known = this.#bound.get(key);
    if (known !== undefined) return known;
    const unset = this.#version === '1.0.2' ? '0' : 'none';
    const labels = { worker_id: workerId, dp_rank: dpRank?.toString() ?? unset, worker_type: workerType };
    const buried = this.#tombstones.isBuried(workerId);
    const bind = (at: number) => () => {
      const family = this.#families[at]!;
      return buried || this.#tombstones.isBuried(workerId) ? family.detached() : family.with(labels);
    };
    const series = new LiveWorkerSeries([0, 1, 2, 3, 4].map(bind));
    if (!buried) this.#bound.set(key, series);
    return series;
  }

  /** The worker has registered, perhaps again. */
  add(workerId: string): void {
    this.#tombstones.revive(workerId);
  }

  /** The worker has left: all its series go, and writes that come late do not bring them back. */
  remove(workerId: string): void {
    this.#tombstones.bury(workerId);
    for (const family of this.#families) family.removeWhere({ worker_id: workerId });
    for (const key of this.#bound.keys()) if (key.startsWith(`${workerId}/`)) this.#bound.delete(key);
  }
}

class LiveWorkerSeries implements WorkerSeries {
  readonly #bind: readonly (() => Gauge)[];
  readonly #gauges: Gauge[] = [];

  constructor(bind: readonly (() => Gauge)[]) {
    this.#bind = bind;
  }

  setLoad(activeDecodeBlocks: number, activePrefillTokens: number): void {
    this.#gauge(0).set(activeDecodeBlocks);
    this.#gauge(1).set(activePrefillTokens);
  }

  setFirstToken(ttftS: number, inputTokens: number): void {
    this.#gauge(2).set(ttftS);
    this.#gauge(3).set(inputTokens);
  }

  setInterToken(itlS: number): void {
    this.#gauge(4).set(itlS);
  }

  #gauge(at: number): Gauge {
    this.#gauges[at] ??= this.#bind[at]!();
    return this.#gauges[at];
  }
}
