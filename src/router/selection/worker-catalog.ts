import { fail } from '../../base/errors.ts';
import { rankEndpoint } from '../../transport/zmq/zmq-endpoint.ts';
import type { IndexPartition } from '../index-partition.ts';
import { type PartitionFilter, type PartitionKey, Partitions } from '../partitions.ts';
import type { Peers } from '../peers.ts';
import { type FollowRank, listen, type RankListener } from '../rank-feeds.ts';
import { partitionOf } from '../request-schemas.ts';
import { lacks, type WorkerPatch, type WorkerRecord, workerInfo } from './worker-record.ts';

export interface WorkerCatalogParts {
  readonly follow: FollowRank;
  readonly makePartition: (key: PartitionKey, blockSize: number) => IndexPartition;
  readonly peers: Peers;
}

const MAX_WORKERS = 65_536;

/** The workers that a selection service chooses among, each with the listeners of its events. */
export class WorkerCatalog {
  readonly partitions: Partitions<IndexPartition>;
  readonly #parts: WorkerCatalogParts;
  readonly #records = new Map<string, WorkerRecord>();
  readonly #listeners = new Map<string, readonly RankListener[]>();

  constructor(parts: WorkerCatalogParts) {
    this.#parts = parts;
    this.partitions = new Partitions(parts.makePartition);
  }

  /** All, or those of some partitions, in the order of their ids. */
  list({ modelName, routingGroup }: PartitionFilter): readonly WorkerRecord[] {
    return [...this.#records.values()]
      .filter(
        (record) =>
          (modelName === undefined || record.model_name === modelName) &&
          (routingGroup === undefined || record.routing_group === routingGroup),
      )
      .sort((a, b) => (BigInt(a.worker_id) < BigInt(b.worker_id) ? -1 : 1));
  }

  /** Throws KV_RECORD_UNKNOWN. */
  require(workerId: string): WorkerRecord {
    const record = this.#records.get(workerId);
    if (record !== undefined) return record;
    throw fail('KV_RECORD_UNKNOWN', {
      what: 'worker',
      id: workerId,
      mend: 'GET /workers lists the workers.',
    });
  }

  /** Adds a worker or replaces what is known of it. Throws KV_RECORD_CONFLICT for a wrong block size. */
  put(record: WorkerRecord): WorkerRecord {
    if (!this.#records.has(record.worker_id) && this.#records.size >= MAX_WORKERS)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `there are ${MAX_WORKERS} workers already`,
        mend: 'Delete some.',
      });
    const isReady = (each: WorkerRecord): boolean => lacks(each).length === 0;
    // First of all, as it may refuse.
    const partition = isReady(record)
      ? this.partitions.open(partitionOf(record), record.block_size!)
      : undefined;
    const old = this.#records.get(record.worker_id);
    const moved = old !== undefined && isReady(old) && (partition === undefined || !isSamePlace(old, record));
    if (moved) this.#leave(old);
    this.#records.set(record.worker_id, record);
    if (partition !== undefined) {
      const { router } = partition.value;
      router.addWorker(workerInfo(record));
      if (old === undefined || !isReady(old) || moved || !isSameFeed(old, record))
        this.#follow(record, partition.value);
    }
    return record;
  }

  patch(workerId: string, patch: WorkerPatch): WorkerRecord {
    const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value != null));
    return this.put({ ...this.require(workerId), ...given });
  }

  remove(workerId: string): WorkerRecord {
    const record = this.require(workerId);
    this.#leave(record);
    this.#records.delete(workerId);
    return record;
  }

  stop(): void {
    for (const workerId of [...this.#records.keys()]) this.remove(workerId);
  }

  #leave(record: WorkerRecord): void {
    for (const listener of this.#listeners.get(record.worker_id) ?? []) listener.stop();
    this.#listeners.delete(record.worker_id);
    const key = partitionOf(record);
    const router = this.partitions.find(key)?.value.router;
    router?.removeWorker(record.worker_id);
    if (router?.fleet.size !== 0) return;
    router.stop();
    this.partitions.close(key);
  }

  #follow(record: WorkerRecord, { router }: IndexPartition): void {
    for (const listener of this.#listeners.get(record.worker_id) ?? []) listener.stop();
    const { dpStart = 0, dpSize = 1, workerId } = workerInfo(record);
    const listeners: RankListener[] = [];
    for (let dpRank = dpStart; dpRank < dpStart + dpSize; dpRank++) {
      const worker = { workerId, dpRank };
      const endpoint = endpointOf(
        record.kv_events_endpoint,
        record.kv_events_endpoints?.[dpRank],
        dpRank - dpStart,
      );
      if (endpoint === undefined) {
        router.intake.markSilent(worker);
        continue;
      }
      const replay = endpointOf(record.replay_endpoint, undefined, dpRank - dpStart);
      const followed = { ...worker, endpoint, replay, snapshot: record.snapshot_endpoint ?? undefined };
      const key = partitionOf(record);
      listeners.push(listen(this.#parts.follow, followed, router, () => this.#parts.peers.held(key, worker)));
    }
    this.#listeners.set(workerId, listeners);
  }
}

/** A rank's own endpoint, or the worker's with its port moved on by the rank, as vLLM and SGLang lay them out. */
function endpointOf(
  base: string | null | undefined,
  own: string | undefined,
  offset: number,
): string | undefined {
  if (own !== undefined) return own;
  return base == null ? undefined : rankEndpoint(base, offset, 'kv_events_endpoint');
}

function isSamePlace(a: WorkerRecord, b: WorkerRecord): boolean {
  return (
    a.model_name === b.model_name && a.routing_group === b.routing_group && a.block_size === b.block_size
  );
}

function isSameFeed(a: WorkerRecord, b: WorkerRecord): boolean {
  const feed = (record: WorkerRecord): string =>
    JSON.stringify([
      record.kv_events_endpoint,
      record.kv_events_endpoints,
      record.replay_endpoint,
      record.snapshot_endpoint,
      workerInfo(record).dpStart,
      workerInfo(record).dpSize,
    ]);
  return feed(a) === feed(b);
}
