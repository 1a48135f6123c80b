import type { Clock } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import { Fleet, type WorkerInfo } from '../../kv/fleet.ts';
import { ActiveSequences } from '../../kv/sequences/active-sequences.ts';
import { type PartitionEntry, type PartitionFilter, type PartitionKey, Partitions } from '../partitions.ts';

export interface SlotTrackerOptions {
  readonly clock: Clock;
  /** A request that shows no activity for so long is freed. */
  readonly leaseMs: number;
}

/** A request that was put on a rank. */
export interface AddedRequest {
  readonly requestId: string;
  readonly workerId: string;
  readonly dpRank: number;
  readonly sequenceHashes: BigUint64Array;
  /** Prompt tokens to compute; 0 for none. */
  readonly newTokens: number;
}

/** The load of a rank with one more request. */
export interface PotentialLoad {
  readonly worker_id: bigint;
  readonly dp_rank: number;
  readonly potential_prefill_tokens: number;
  readonly potential_decode_blocks: number;
  readonly active_requests: number;
}

interface Slots {
  readonly fleet: Fleet;
  readonly sequences: ActiveSequences;
}

/** Who has how much to do, as callers who place requests themselves tell it. */
export class SlotTracker {
  readonly #partitions: Partitions<Slots>;

  constructor({ clock, leaseMs }: SlotTrackerOptions) {
    this.#partitions = new Partitions((_key, blockSize) => ({
      fleet: new Fleet(),
      sequences: new ActiveSequences({ clock, blockSize, leaseMs, trackOutputBlocks: false }),
    }));
  }

  /** Throws KV_RECORD_CONFLICT for a worker that is there already. */
  register(
    key: PartitionKey,
    blockSize: number,
    worker: Required<Pick<WorkerInfo, 'workerId' | 'dpStart' | 'dpSize'>>,
  ): void {
    const { fleet } = this.#partitions.open(key, blockSize).value;
    if (fleet.worker(worker.workerId) !== undefined)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `worker ${worker.workerId} is registered already for ${key.modelName}:${key.routingGroup}`,
        mend: 'Unregister it first.',
      });
    fleet.put(worker);
  }

  unregister(key: PartitionKey, workerId: string): void {
    const slots = this.#partitions.find(key)?.value;
    const ranks = slots?.fleet.remove(workerId) ?? [];
    if (slots === undefined || ranks.length === 0) throw unknown('worker', workerId);
    for (const { id } of ranks) slots.sequences.removeRank(id);
    if (slots.fleet.size > 0) return;
    slots.sequences.stop();
    this.#partitions.close(key);
  }

  /** Throws KV_RECORD_UNKNOWN for a rank, KV_RECORD_CONFLICT for a request that is there already. */
  add(key: PartitionKey, { requestId, workerId, dpRank, sequenceHashes, newTokens }: AddedRequest): void {
    const { value, blockSize } = this.#partitions.require(key);
    const rank = value.fleet.rankOf({ workerId, dpRank });
    if (rank === undefined) throw unknown('worker', `${workerId}, rank ${dpRank},`);
    const added = value.sequences.add({
      requestId,
      rank: rank.id,
      blocks: sequenceHashes,
      isl: Math.max(newTokens, blockSize * sequenceHashes.length),
      newTokens,
    });
    if (added === undefined)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `request ${requestId} is active already`,
        mend: 'Give every request an id of its own.',
      });
  }

  prefillComplete(key: PartitionKey, requestId: string): void {
    const { sequences } = this.#partitions.require(key).value;
    sequences.completePrefill(sequences.find(requestId) ?? missing(requestId));
  }

  free(key: PartitionKey, requestId: string): void {
    const { sequences } = this.#partitions.require(key).value;
    sequences.free(sequences.find(requestId) ?? missing(requestId));
  }

  workers(filter: PartitionFilter): readonly object[] {
    return this.#partitions.matching(filter).flatMap(({ key, blockSize, value }) =>
      [...value.fleet.workers()].map(({ info, ranks }) => ({
        worker_id: BigInt(info.workerId),
        model_name: key.modelName,
        routing_group: key.routingGroup,
        block_size: blockSize,
        dp_start: info.dpStart ?? 0,
        dp_size: ranks.length,
      })),
    );
  }

  loads(filter: PartitionFilter): readonly object[] {
    return this.#partitions.matching(filter).flatMap((partition) =>
      ranksOf(partition).map(({ id, key }) => ({
        model_name: partition.key.modelName,
        routing_group: partition.key.routingGroup,
        worker_id: BigInt(key.workerId),
        dp_rank: key.dpRank,
        active_prefill_tokens: partition.value.sequences.prefillTokens(id),
        active_decode_blocks: partition.value.sequences.activeBlocks(id),
      })),
    );
  }

  /** What each rank would have to do with this request besides. */
  potentialLoads(
    key: PartitionKey,
    sequenceHashes: BigUint64Array,
    newTokens: number,
  ): readonly PotentialLoad[] {
    const partition = this.#partitions.require(key);
    const { fleet, sequences } = partition.value;
    const shared = new Uint32Array(fleet.ranks.capacity);
    sequences.activePrefixes(sequenceHashes, shared);
    return ranksOf(partition).map(({ id, key: rank }) => ({
      worker_id: BigInt(rank.workerId),
      dp_rank: rank.dpRank,
      potential_prefill_tokens: sequences.prefillTokens(id) + newTokens,
      potential_decode_blocks: sequences.activeBlocks(id) + sequenceHashes.length - shared[id]!,
      active_requests: sequences.requestCount(id),
    }));
  }

  stop(): void {
    for (const { value } of this.#partitions.matching({})) value.sequences.stop();
  }
}

function ranksOf({ value }: PartitionEntry<Slots>) {
  return [...value.fleet.workers()].flatMap(({ ranks }) => ranks);
}

function missing(requestId: string): never {
  throw unknown('request', requestId);
}

function unknown(what: string, id: string): Error {
  const mend =
    what === 'worker' ? 'GET /workers lists those that are registered.' : 'It may have ended already.';
  return fail('KV_RECORD_UNKNOWN', { what, id, mend });
}
