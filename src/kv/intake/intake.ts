import type { Clock } from '../../base/clock.ts';
import type { WorkerKey } from '../event.ts';
import type { Fleet, FleetRank } from '../fleet.ts';
import type { BlockHasher } from '../hash.ts';
import type { KvIndex, RankEvent } from '../index/kv-index.ts';
import type { RouterObserver } from '../observer.ts';
import type { EventSource, SequencedBatch, Snapshot } from './event-source.ts';
import { EventStream, type StreamState } from './event-stream.ts';
import { RankFeed } from './rank-feed.ts';

export interface IntakeOptions {
  readonly clock: Clock;
  readonly fleet: Fleet;
  /** Absent: streams may be opened, and nothing comes of them. */
  readonly index: KvIndex | undefined;
  readonly hasher: BlockHasher;
  readonly blockSize: number;
  readonly observer: RouterObserver;
  /** A publisher that was quiet so long is asked whether it is; never unless given. */
  readonly quietMs?: number | undefined;
}

/** How much is known of one rank's cache, for readiness and metrics. */
export interface RankIntake {
  readonly worker: WorkerKey;
  readonly state: StreamState;
  readonly reason: string;
  /** Time since its last live batch; undefined before the first. */
  readonly eventAgeMs: number | undefined;
  readonly lastSeq: number;
  /** Batches lost for good. */
  readonly missedBatches: number;
  /** Events, or parts of them, that could not be indexed. */
  readonly rejectedEvents: number;
  /** Blocks that the index holds of it. */
  readonly residentBlocks: number;
}

/** One publisher's connection, as its reader holds it. */
export interface IntakeStream {
  /** Takes a live batch, in the order of arrival. */
  deliver(batch: SequencedBatch): void;
  /** The publisher was reached again: what it published meanwhile is asked for. */
  reconnected(): void;
  /** Ends it and forgets what the rank holds; idempotent. */
  close(): void;
}

const CLOSED: IntakeStream = { deliver: () => {}, reconnected: () => {}, close: () => {} };

interface OpenStream {
  readonly stream: EventStream;
  readonly key: WorkerKey;
}

/** The one place that follows event streams: engines' batches come in, the index and a state per rank come out. */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #streams = new Map<number, OpenStream>();
  readonly #feeds = new Map<number, RankFeed>();
  readonly #silent = new Set<number>();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /**
   * Follows the publisher of a rank of the fleet; open it when live batches can come, as the past is asked for at
   * once. A batch that names another rank of the worker is applied to that one. Replaces an earlier stream.
   */
  open(key: WorkerKey, source: EventSource = {}): IntakeStream {
    const rank = this.#options.fleet.rankOf(key);
    if (rank === undefined || this.#options.index === undefined) return CLOSED;
    this.#close(rank.id);
    this.#silent.delete(rank.id);
    if (source.cacheSalt !== undefined || this.#feeds.has(rank.id))
      this.#feedOf(rank).saltWith(source.cacheSalt);
    const stream = new EventStream({
      clock: this.#options.clock,
      source,
      quietMs: this.#options.quietMs,
      apply: (batch) => this.#apply(rank, batch),
      load: (snapshot) => this.#load(rank, snapshot),
      clear: () => this.#feedOf(rank).clear(),
      onState: (state, reason) => this.#options.observer.intakeChanged?.(key, state, reason),
      onMissed: (count) => this.#options.observer.eventsMissed?.(key, count),
    });
    const open = { stream, key };
    this.#streams.set(rank.id, open);
    stream.start();
    return {
      deliver: (batch) => {
        if (this.#streams.get(rank.id) === open) stream.deliver(batch);
      },
      reconnected: () => {
        if (this.#streams.get(rank.id) === open) stream.reconnected();
      },
      close: () => {
        if (this.#streams.get(rank.id) === open) this.#close(rank.id);
      },
    };
  }

  /** Declares that a rank publishes nothing: its cache is then guessed from what is routed to it. */
  markSilent(key: WorkerKey): void {
    const rank = this.#options.fleet.rankOf(key);
    if (rank === undefined) return;
    this.#close(rank.id);
    this.#silent.add(rank.id);
  }

  isSilent(rankId: number): boolean {
    return this.#silent.has(rankId);
  }

  /** What is known of a rank's cache; `approximate` for ranks without a stream. */
  of(rank: FleetRank): RankIntake {
    const stream = this.#streams.get(rank.id)?.stream;
    const feed = this.#feeds.get(rank.id);
    const flawed = stream?.state === 'exact' && feed?.flaw !== undefined;
    return {
      worker: rank.key,
      state: flawed ? 'degraded' : (stream?.state ?? 'approximate'),
      reason: (flawed ? feed.flaw : stream?.reason) ?? 'the rank publishes no events',
      eventAgeMs: stream?.ageMs,
      lastSeq: stream?.lastSeq ?? -1,
      missedBatches: stream?.missed ?? 0,
      rejectedEvents: feed?.rejected ?? 0,
      residentBlocks: this.#options.index?.residentsOf(rank.id) ?? 0,
    };
  }

  /**
   * Events that restore what all ranks hold, or one of them: the index, then blocks that wait for the one before
   * them. Costs time in proportion to their number.
   */
  *dump(rankId?: number): Generator<RankEvent> {
    yield* this.#options.index?.dump(rankId) ?? [];
    for (const [rank, { orphans }] of this.#feeds)
      if (rankId === undefined || rankId === rank)
        for (const event of orphans.events()) yield { rank, event };
  }

  /** Ids of all blocks that a rank holds, in any tier; costs time in proportion to their number. */
  heldBlocks(key: WorkerKey): ReadonlySet<bigint> {
    const held = new Set<bigint>();
    const rank = this.#options.fleet.rankOf(key);
    if (rank === undefined) return held;
    for (const { event } of this.dump(rank.id)) {
      if (event.kind === 'stored') for (const hash of event.blockHashes) held.add(hash);
      else if (event.kind === 'removed') for (const hash of event.blockHashes) held.delete(hash);
    }
    return held;
  }

  /** Every rank of the fleet. */
  states(): readonly RankIntake[] {
    return [...this.#options.fleet.workers()].flatMap(({ ranks }) => ranks.map((rank) => this.of(rank)));
  }

  /** The rank left; the index has forgotten it already, or will. */
  rankRemoved(rankId: number): void {
    this.#streams.get(rankId)?.stream.stop();
    this.#streams.delete(rankId);
    this.#feeds.delete(rankId);
    this.#silent.delete(rankId);
  }

  stop(): void {
    for (const { stream } of this.#streams.values()) stream.stop();
    this.#streams.clear();
  }

  #close(rankId: number): void {
    const open = this.#streams.get(rankId);
    if (open === undefined) return;
    open.stream.stop();
    this.#streams.delete(rankId);
    this.#feeds.get(rankId)?.clear();
  }

  #apply(rank: FleetRank, batch: SequencedBatch): void {
    if (!('batch' in batch)) {
      const feed = this.#feedOf(rank);
      for (const event of batch.events) feed.apply(event);
      return;
    }
    const { dpRank, events } = batch.batch;
    const named = dpRank === undefined || dpRank === rank.key.dpRank ? rank : this.#sibling(rank, dpRank);
    if (named === undefined) {
      this.#options.observer.eventRejected?.(rank.key, 'unknown_rank');
      return;
    }
    const feed = this.#feedOf(named);
    for (const event of events) feed.applyEngineEvent(event);
  }

  #load(rank: FleetRank, snapshot: Snapshot): void {
    const feed = this.#feedOf(rank);
    feed.clear();
    if ('engineEvents' in snapshot) for (const event of snapshot.engineEvents) feed.applyEngineEvent(event);
    else for (const event of snapshot.events) feed.apply(event);
  }

  #sibling({ key }: FleetRank, dpRank: number): FleetRank | undefined {
    return this.#options.fleet.rankOf({ workerId: key.workerId, dpRank });
  }

  #feedOf({ id, key }: FleetRank): RankFeed {
    let feed = this.#feeds.get(id);
    if (feed === undefined) {
      const { clock, index, hasher, blockSize, observer } = this.#options;
      feed = new RankFeed({ clock, rank: id, key, index: index!, hasher, blockSize, observer });
      this.#feeds.set(id, feed);
    }
    return feed;
  }
}
