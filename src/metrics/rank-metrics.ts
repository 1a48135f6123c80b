import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { INDEX, PREDICTION } from './names/kvasir.ts';
import { ROUTER_INDEX } from './names/router.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import { Tombstones } from './tombstones.ts';
import type { WorkerIdentity } from './worker-load-metrics.ts';

/** How far the index can be trusted for a rank. */
export const RANK_STATES = ['exact', 'recovering', 'degraded', 'approximate'] as const;
export type RankState = (typeof RANK_STATES)[number];

/** The state of one rank now. */
export interface RankReading {
  readonly rank: WorkerIdentity;
  readonly state: RankState;
}

interface RankLabels {
  readonly worker: string;
  readonly dp_rank: string;
}

/** Which ranks the routers of this process know, and how each one's event stream fares. */
export class RankMetrics {
  readonly #nowMs: () => number;
  readonly #tombstones: Tombstones;
  readonly #registered: Family<'dp_rank' | 'router_worker_id' | 'worker_type', Gauge>;
  readonly #state: Family<'worker' | 'dp_rank' | 'state', Gauge>;
  readonly #age: Family<'worker' | 'dp_rank', Gauge>;
  readonly #gaps: Family<'worker' | 'dp_rank', Counter>;
  readonly #missed: Family<'worker' | 'dp_rank', Counter>;
  readonly #rejected: Family<'worker' | 'dp_rank' | 'reason', Counter>;
  readonly #error: Family<'worker' | 'dp_rank', Histogram>;
  readonly #bias: Family<'worker' | 'dp_rank', Gauge>;
  readonly #sources = new Set<() => readonly RankReading[]>();
  readonly #lastEventMs = new Map<string, { readonly labels: RankLabels; atMs: number }>();

  /** `component` is the one routed to. Make one per component and share it. */
  constructor(metrics: ProcessMetrics, namespace: string, component: string) {
    const { registry } = metrics.root.namespace(namespace).component(component);
    this.#nowMs = () => metrics.clock.nowMs();
    this.#tombstones = new Tombstones(metrics.clock);
    this.#registered = registry.gauge(ROUTER_INDEX.workerRegistered);
    this.#state = registry.gauge(INDEX.rankState);
    this.#age = registry.gauge(INDEX.rankEventAgeSeconds);
    this.#gaps = registry.counter(INDEX.eventGapsTotal);
    this.#missed = registry.counter(INDEX.missedBatchesTotal);
    this.#rejected = registry.counter(INDEX.rejectedEventsTotal);
    this.#error = registry.histogram(PREDICTION.workerErrorRatio);
    this.#bias = registry.gauge(PREDICTION.workerBiasTokens);
    metrics.onScrape(() => {
      this.#refreshStates();
      this.#refreshAges();
    });
  }

  /** A rank is known from now on; without an event stream it is `approximate`. */
  add(rank: WorkerIdentity): void {
    this.#tombstones.revive(nameOf(rank));
    this.#registered.with(registeredLabels(rank)).set(1);
    this.setState(rank, 'approximate');
  }

  setState(rank: WorkerIdentity, state: RankState): void {
    if (this.#tombstones.isBuried(nameOf(rank))) return;
    const labels = labelsOf(rank);
    for (const each of RANK_STATES) this.#state.with({ ...labels, state: each }).set(each === state ? 1 : 0);
  }

  /**
   * Asks for states at every scrape: some change without an event, as when the index lets go of a rank's blocks.
   * Returns how to stop.
   */
  watch(statesOf: () => readonly RankReading[]): () => void {
    this.#sources.add(statesOf);
    return () => void this.#sources.delete(statesOf);
  }

  /** An event of the rank has come; its age counts from now. */
  seen(rank: WorkerIdentity): void {
    const known = this.#lastEventMs.get(nameOf(rank));
    if (known !== undefined) known.atMs = this.#nowMs();
    else if (!this.#tombstones.isBuried(nameOf(rank)))
      this.#lastEventMs.set(nameOf(rank), { labels: labelsOf(rank), atMs: this.#nowMs() });
  }

  /** Batches of the rank were lost for good. */
  missed(rank: WorkerIdentity, batches: number): void {
    if (this.#tombstones.isBuried(nameOf(rank))) return;
    this.#gaps.with(labelsOf(rank)).inc();
    this.#missed.with(labelsOf(rank)).inc(batches);
  }

  /** An event of the rank was not indexed; the reason is one of a few fixed words. */
  rejected(rank: WorkerIdentity, reason: string): void {
    if (this.#tombstones.isBuried(nameOf(rank))) return;
    this.#rejected.with({ ...labelsOf(rank), reason }).inc();
  }

  /** The engine told what it had cached of a prompt; `biasTokens` is the running mean of the rank's errors. */
  predicted(rank: WorkerIdentity, errorTokens: number, promptTokens: number, biasTokens: number): void {
    if (this.#tombstones.isBuried(nameOf(rank)) || promptTokens === 0) return;
    this.#error.with(labelsOf(rank)).observe(errorTokens / promptTokens);
    this.#bias.with(labelsOf(rank)).set(biasTokens);
  }

  /** The rank has left; late writes do not bring its series back. */
  remove(rank: WorkerIdentity): void {
    this.#tombstones.bury(nameOf(rank));
    this.#lastEventMs.delete(nameOf(rank));
    this.#registered.removeWhere({ ...registeredLabels(rank) });
    const families = [
      this.#state,
      this.#age,
      this.#gaps,
      this.#missed,
      this.#rejected,
      this.#error,
      this.#bias,
    ];
    for (const family of families) family.removeWhere({ ...labelsOf(rank) });
  }

  #refreshStates(): void {
    for (const statesOf of this.#sources)
      for (const { rank, state } of statesOf()) this.setState(rank, state);
  }

  #refreshAges(): void {
    for (const { labels, atMs } of this.#lastEventMs.values())
      this.#age.with(labels).set((this.#nowMs() - atMs) / 1000);
  }
}

function nameOf({ workerId, dpRank, workerType }: WorkerIdentity): string {
  return `${workerId}/${dpRank}/${workerType}`;
}

function labelsOf({ workerId, dpRank }: WorkerIdentity): RankLabels {
  return { worker: workerId, dp_rank: String(dpRank ?? 0) };
}

function registeredLabels({ workerId, dpRank, workerType }: WorkerIdentity) {
  return { router_worker_id: workerId, dp_rank: String(dpRank ?? 0), worker_type: workerType };
}
