import { type Clock, sleepUntil } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import type { WorkerKey } from '../../kv/event.ts';
import type { KvRouter } from '../../kv/kv-router.ts';
import { dumpOf, type PartitionDump } from '../index-dump.ts';
import { type IndexPartition, withRank } from '../index-partition.ts';
import {
  keyOf,
  nameOf,
  type PartitionEntry,
  type PartitionFilter,
  type PartitionKey,
  Partitions,
} from '../partitions.ts';
import type { Peers } from '../peers.ts';
import { answerQuery, type QueriedPrompt, type QueryAnswer } from '../query-answer.ts';
import { type FollowRank, type ListenerStatus, listen, type RankListener } from '../rank-feeds.ts';

export interface IndexerOptions {
  readonly clock: Clock;
  readonly follow: FollowRank;
  readonly makePartition: (key: PartitionKey, blockSize: number) => IndexPartition;
  readonly peers: Peers;
}

/** One rank to be followed. */
export interface Registration {
  readonly key: PartitionKey;
  readonly blockSize: number;
  readonly worker: WorkerKey;
  readonly endpoint: string;
  readonly replay: string | undefined;
  readonly snapshot: string | undefined;
  readonly cacheSalt: string | undefined;
}

/** A worker as `GET /workers` lists it. */
export interface ListedWorker {
  readonly instance_id: bigint;
  readonly source: 'zmq';
  readonly status: ListenerStatus;
  readonly model_name: string;
  readonly routing_group: string;
  readonly block_size: number;
  readonly endpoints: Readonly<Record<string, string>>;
  readonly listeners: Readonly<Record<string, object>>;
}

interface IndexedPartition extends IndexPartition {
  /** By worker, then by rank. */
  readonly workers: Map<string, Map<number, RankListener>>;
}

const MAX_WORKERS = 65_536;
const PEER_DELAY_MS = 1000;
const WORST_FIRST: readonly ListenerStatus[] = ['failed', 'pending', 'active'];

/** Who holds which blocks: registered ranks' events in, overlaps out. */
export class Indexer {
  readonly #options: IndexerOptions;
  readonly #partitions: Partitions<IndexedPartition>;

  constructor(options: IndexerOptions) {
    this.#options = options;
    this.#partitions = new Partitions((key, blockSize) => ({
      ...options.makePartition(key, blockSize),
      workers: new Map(),
    }));
  }

  /** Follows a rank, or follows it anew elsewhere; returns without waiting for its engine. */
  register({ key, blockSize, worker, ...endpoints }: Registration): void {
    const { value } = this.#partitions.open(key, blockSize);
    const { workerId, dpRank } = worker;
    if (!value.workers.has(workerId) && this.counts().workers >= MAX_WORKERS)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `there are ${MAX_WORKERS} workers already`,
        mend: 'Unregister workers that are gone.',
      });
    value.router.addWorker(withRank(value.router, worker));
    const ranks = value.workers.get(workerId) ?? new Map<number, RankListener>();
    value.workers.set(workerId, ranks);
    ranks.get(dpRank)?.stop();
    const followed = { ...worker, ...endpoints };
    ranks.set(
      dpRank,
      listen(this.#options.follow, followed, value.router, () => this.#options.peers.held(key, worker)),
    );
  }

  /** Forgets a rank, or all of a worker's; in every routing group unless one is named. Throws KV_RECORD_UNKNOWN. */
  unregister(filter: PartitionFilter, workerId: string, dpRank?: number): void {
    let found = false;
    for (const { key, value } of this.#partitions.matching(filter)) {
      const ranks = value.workers.get(workerId);
      if (ranks === undefined) continue;
      for (const [rank, listener] of ranks) {
        if (dpRank !== undefined && rank !== dpRank) continue;
        found = true;
        listener.stop();
        ranks.delete(rank);
      }
      if (ranks.size > 0) continue;
      value.workers.delete(workerId);
      value.router.removeWorker(workerId);
      if (value.router.fleet.size === 0) this.#close(key, value);
    }
    if (!found)
      throw fail('KV_RECORD_UNKNOWN', {
        what: 'worker',
        id: dpRank === undefined ? workerId : `${workerId}, rank ${dpRank},`,
        mend: 'GET /workers lists those that are registered.',
      });
  }

  workers(filter: PartitionFilter): readonly ListedWorker[] {
    return this.#partitions
      .matching(filter)
      .flatMap((partition) =>
        [...partition.value.workers].map(([workerId, ranks]) => listed(workerId, ranks, partition)),
      );
  }

  /** `prompt` as tokens or as hashes; throws KV_RECORD_UNKNOWN for a partition without workers. */
  query(key: PartitionKey, prompt: QueriedPrompt): QueryAnswer {
    return answerQuery([this.#partitions.require(key).value.router], prompt);
  }

  /** The router of a partition; none for an unknown one. */
  routersOf(key: PartitionKey): readonly KvRouter[] {
    const partition = this.#partitions.find(key);
    return partition === undefined ? [] : [partition.value.router];
  }

  blockSizeOf(key: PartitionKey): number {
    return this.#partitions.require(key).blockSize;
  }

  /** Everything, by partition. */
  dump(): Readonly<Record<string, PartitionDump>> {
    return Object.fromEntries(
      this.#partitions.matching({}).map(({ key, value }) => [nameOf(key), dumpOf(value.router)]),
    );
  }

  /**
   * Takes over what a peer holds, of workers that are not registered here too. Waits a second first, so that what is
   * heard here meanwhile is not missing in the peer's dump.
   */
  async recover(signal?: AbortSignal): Promise<void> {
    const { clock, peers } = this.#options;
    if (peers.list().length === 0) return;
    await sleepUntil(clock, clock.nowMs() + PEER_DELAY_MS, signal);
    const dump = await peers.dump();
    for (const [name, { blockSize, ranks }] of dump ?? []) {
      const { value } = this.#partitions.open(keyOf(name), blockSize);
      for (const { key, lastSeq, events } of ranks) {
        if (value.workers.get(key.workerId)?.has(key.dpRank) === true) continue;
        value.router.addWorker(withRank(value.router, key));
        value.router.intake.open(key, { snapshot: async () => ({ lastSeq, events }) });
      }
    }
  }

  /** Figures for metrics. */
  counts(): {
    readonly models: number;
    readonly workers: number;
    readonly listeners: ReadonlyMap<ListenerStatus, number>;
  } {
    const listeners = new Map<ListenerStatus, number>(WORST_FIRST.map((status) => [status, 0]));
    let workers = 0;
    for (const { value } of this.#partitions.matching({})) {
      workers += value.workers.size;
      for (const ranks of value.workers.values())
        for (const { status } of ranks.values()) listeners.set(status, listeners.get(status)! + 1);
    }
    return { models: this.#partitions.size, workers, listeners };
  }

  stop(): void {
    for (const { key, value } of this.#partitions.matching({})) {
      for (const ranks of value.workers.values()) for (const listener of ranks.values()) listener.stop();
      this.#close(key, value);
    }
  }

  #close(key: PartitionKey, { router }: IndexedPartition): void {
    router.stop();
    this.#partitions.close(key);
  }
}

function listed(
  workerId: string,
  ranks: ReadonlyMap<number, RankListener>,
  { key, blockSize }: PartitionEntry<unknown>,
): ListedWorker {
  const listeners = [...ranks].map(([rank, { endpoint, status, lastError }]) => [
    rank,
    { endpoint, status, ...(lastError !== undefined && { last_error: lastError }) },
  ]);
  const statuses = new Set([...ranks.values()].map(({ status }) => status));
  return {
    instance_id: BigInt(workerId),
    source: 'zmq',
    status: WORST_FIRST.find((status) => statuses.has(status)) ?? 'pending',
    model_name: key.modelName,
    routing_group: key.routingGroup,
    block_size: blockSize,
    endpoints: Object.fromEntries([...ranks].map(([rank, { endpoint }]) => [rank, endpoint])),
    listeners: Object.fromEntries(listeners),
  };
}
