import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { INDEX } from './names-kvasir.ts';
import { ROUTER_INDEX } from './names-router.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import { Tombstones } from './tombstones.ts';
import type { WorkerIdentity } from './worker-load-metrics.ts';

export type IndexEventType = 'stored' | 'removed' | 'cleared';
export type IndexEventStatus =
  | 'ok'
  | 'parent_block_not_found'
  | 'block_not_found'
  | 'invalid_block'
  | 'capacity_exhausted'
  | 'allocation_failed'
  | 'ownership_degree_overflow'
  | 'indexer_invariant_violation'
  | 'unsupported_residency_domain';

/** How a rank's event stream fares. */
const RANK_STATES = ['waiting', 'live', 'recovering', 'stale', 'approximate'] as const;
export type RankState = (typeof RANK_STATES)[number];

const OLD_STATUSES: readonly string[] = ['ok', 'parent_block_not_found', 'block_not_found', 'invalid_block'];

type RankLabels = { readonly worker: string; readonly dp_rank: string };

/** What the index made of KV events, how large it is, and how each rank's event stream fares. */
export class IndexMetrics {
  readonly #old: boolean;
  readonly #nowMs: () => number;
  readonly #tombstones: Tombstones;
  readonly #applied: Family<'event_type' | 'status', Counter>;
  readonly #appliedChildren = new Map<string, Counter>();
  readonly #warnings: Family<'warning_kind', Counter>;
  readonly #registered: Family<'dp_rank' | 'router_worker_id' | 'worker_type', Gauge>;
  readonly #memory: Gauge;
  readonly #blocks: Gauge;
  readonly #residents: Gauge;
  readonly #evicted: Counter;
  readonly #state: Family<'worker' | 'dp_rank' | 'state', Gauge>;
  readonly #age: Family<'worker' | 'dp_rank', Gauge>;
  readonly #gaps: Family<'worker' | 'dp_rank', Counter>;
  readonly #missed: Family<'worker' | 'dp_rank', Counter>;
  readonly #rejected: Family<'worker' | 'dp_rank' | 'reason', Counter>;
  readonly #recoveries: Family<'source' | 'outcome', Counter>;
  readonly #lastEventMs = new Map<string, { readonly labels: RankLabels; atMs: number }>();

  /** `component` is the one routed to, as for the router's requests. */
  constructor(metrics: ProcessMetrics, namespace: string, component: string) {
    const { registry } = metrics.root.namespace(namespace).component(component);
    this.#old = metrics.version === '1.0.2';
    this.#nowMs = () => metrics.clock.nowMs();
    this.#tombstones = new Tombstones(metrics.clock);
    this.#applied = registry.counter(ROUTER_INDEX.eventsApplied);
    this.#warnings = registry.counter(ROUTER_INDEX.eventWarnings);
    this.#registered = registry.gauge(ROUTER_INDEX.workerRegistered);
    this.#memory = registry.gauge(INDEX.memoryBytes).with();
    this.#blocks = registry.gauge(INDEX.blocks).with();
    this.#residents = registry.gauge(INDEX.residents).with();
    this.#evicted = registry.counter(INDEX.evictedTotal).with();
    this.#state = registry.gauge(INDEX.rankState);
    this.#age = registry.gauge(INDEX.rankEventAgeSeconds);
    this.#gaps = registry.counter(INDEX.eventGapsTotal);
    this.#missed = registry.counter(INDEX.missedBatchesTotal);
    this.#rejected = registry.counter(INDEX.rejectedEventsTotal);
    this.#recoveries = registry.counter(INDEX.recoveriesTotal);
    metrics.onScrape(() => this.#refreshAges());
  }

  /** One event was applied, or refused with the status that says why. */
  applied(type: IndexEventType, status: IndexEventStatus, times = 1): void {
    const shown = this.#old && !OLD_STATUSES.includes(status) ? 'invalid_block' : status;
    const key = `${type}/${shown}`;
    let child = this.#appliedChildren.get(key);
    if (child === undefined) {
      child = this.#applied.with({ event_type: type, status: shown });
      this.#appliedChildren.set(key, child);
    }
    child.inc(times);
  }

  /** A store of blocks that the rank held already. */
  duplicateStore(): void {
    this.#warnings.with({ warning_kind: 'duplicate_store' }).inc();
  }

  setSize(memoryBytes: number, blocks: number, residents: number): void {
    this.#memory.set(memoryBytes);
    this.#blocks.set(blocks);
    this.#residents.set(residents);
  }

  evicted(blocks: number): void {
    this.#evicted.inc(blocks);
  }

  /** A rank is known from now on. */
  addRank(identity: WorkerIdentity): void {
    this.#tombstones.revive(identity.workerId);
    this.#registered.with(registeredLabels(identity)).set(1);
  }

  setRankState(identity: WorkerIdentity, state: RankState): void {
    if (this.#tombstones.isBuried(identity.workerId)) return;
    const labels = rankLabels(identity);
    for (const each of RANK_STATES) this.#state.with({ ...labels, state: each }).set(each === state ? 1 : 0);
  }

  /** An event of the rank has come; its age counts from now. */
  seen(identity: WorkerIdentity): void {
    const key = `${identity.workerId}/${identity.dpRank}`;
    const known = this.#lastEventMs.get(key);
    if (known !== undefined) known.atMs = this.#nowMs();
    else if (!this.#tombstones.isBuried(identity.workerId))
      this.#lastEventMs.set(key, { labels: rankLabels(identity), atMs: this.#nowMs() });
  }

  /** The rank's sequence of batches broke, leaving so many out. */
  gap(identity: WorkerIdentity, missedBatches: number): void {
    if (this.#tombstones.isBuried(identity.workerId)) return;
    this.#gaps.with(rankLabels(identity)).inc();
    this.#missed.with(rankLabels(identity)).inc(missedBatches);
  }

  /** Events of the rank were refused; the reason is one of a few fixed words. */
  rejected(identity: WorkerIdentity, reason: string, events = 1): void {
    if (this.#tombstones.isBuried(identity.workerId)) return;
    this.#rejected.with({ ...rankLabels(identity), reason }).inc(events);
  }

  recovered(source: 'replay' | 'snapshot' | 'peer', outcome: 'success' | 'failure'): void {
    this.#recoveries.with({ source, outcome }).inc();
  }

  /** The worker has left with all its ranks; late writes do not bring its series back. */
  removeWorker(workerId: string): void {
    this.#tombstones.bury(workerId);
    this.#registered.removeWhere('router_worker_id', workerId);
    const families = [this.#state, this.#age, this.#gaps, this.#missed, this.#rejected];
    for (const family of families) family.removeWhere('worker', workerId);
    for (const [key, { labels }] of this.#lastEventMs)
      if (labels.worker === workerId) this.#lastEventMs.delete(key);
  }

  #refreshAges(): void {
    for (const { labels, atMs } of this.#lastEventMs.values())
      this.#age.with(labels).set((this.#nowMs() - atMs) / 1000);
  }
}

function rankLabels({ workerId, dpRank }: WorkerIdentity): RankLabels {
  return { worker: workerId, dp_rank: String(dpRank ?? 0) };
}

function registeredLabels({ workerId, dpRank, workerType }: WorkerIdentity) {
  return { router_worker_id: workerId, dp_rank: String(dpRank ?? 0), worker_type: workerType };
}
