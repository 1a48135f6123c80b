import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import type { Booking } from '../../kv/booking.ts';
import type { BlockHasher } from '../../kv/hash.ts';
import type { KvRouter } from '../../kv/kv-router.ts';
import type { KvWeights } from '../../kv/policies/kv-cost.ts';
import type { RankLoad } from '../../kv/rank-load.ts';
import type { RouteRequest } from '../../kv/route-request.ts';
import type { Selection } from '../../kv/selection.ts';
import { dumpOf, type PartitionDump } from '../index-dump.ts';
import { type IndexPartition, tierTokens } from '../index-partition.ts';
import { nameOf, type PartitionEntry, type PartitionFilter, type PartitionKey } from '../partitions.ts';
import type { PromptRequest } from '../prompt-input.ts';
import { refusalError } from '../refusal.ts';
import { overlapRow } from './overlap-row.ts';
import { SelectionCache } from './selection-cache.ts';
import type { WorkerCatalog } from './worker-catalog.ts';
import { lacks, listedWorker } from './worker-record.ts';

export interface SelectionServiceParts {
  readonly clock: Clock;
  readonly hasher: BlockHasher;
  readonly catalog: WorkerCatalog;
  readonly weights: KvWeights;
}

type Asked = PromptRequest & Pick<RouteRequest, 'controls' | 'overrides' | 'expectedOutputTokens'>;

/** A booking that its caller describes in full. */
export interface ExplicitReservation extends Asked {
  readonly workerId: string;
  /** The worker's least loaded one unless given. */
  readonly dpRank: number | undefined;
  readonly effectivePrefillTokens: number | undefined;
  readonly trackPrefillTokens: boolean | undefined;
}

interface Load {
  readonly worker_id: bigint;
  readonly dp_rank: number;
  readonly potential_prefill_tokens: number;
  readonly potential_decode_blocks: number;
  readonly active_requests: number;
}

/** Chooses workers and keeps account of what they have to do, for callers who send the requests themselves. */
export class SelectionService {
  readonly #parts: SelectionServiceParts;
  readonly #cache: SelectionCache;

  constructor(parts: SelectionServiceParts) {
    this.#parts = parts;
    this.#cache = new SelectionCache(parts.clock);
  }

  /** A choice that books nothing; with an id it can be booked as it is for two minutes. */
  select(key: PartitionKey, asked: Asked, selectionId: string | undefined): object {
    const partition = this.#ready(key);
    const { router } = partition.value;
    const selection = router.select({ requestId: selectionId ?? 'select', queryOnly: true, ...asked });
    if (selection.kind === 'refused') throw refusalError(selection);
    if (selectionId !== undefined)
      this.#cache.put(selectionId, {
        key,
        worker: selection.worker,
        blocks: this.#blocksOf(asked, partition),
        isl: selection.isl,
        newTokens: this.#tracksPrefill(asked) ? newTokensOf(selection) : 0,
        expectedOutputTokens: asked.expectedOutputTokens,
      });
    return this.#answer(partition, asked, selection, selectionId);
  }

  /** Chooses and books in one; waits while all are busy and a queue is set up. */
  async selectAndReserve(
    key: PartitionKey,
    asked: Asked,
    selectionId: string = randomUUID(),
    signal?: AbortSignal,
  ): Promise<object> {
    const partition = this.#ready(key);
    this.#requireNew(selectionId);
    const selection = await partition.value.router.admit({ requestId: selectionId, ...asked }, signal);
    if (selection.kind === 'refused') throw refusalError(selection);
    this.#cache.remove(selectionId);
    return this.#answer(partition, asked, selection, selectionId);
  }

  /** Books the choice that {@link select} made under this id. */
  reserveSelected(key: PartitionKey, selectionId: string): object {
    const pending = this.#cache.find(selectionId);
    if (pending === undefined || nameOf(pending.key) !== nameOf(key))
      throw fail('KV_RECORD_UNKNOWN', {
        what: 'selection',
        id: selectionId,
        mend: 'Selections can be booked once, within two minutes; or name the worker_id.',
      });
    const { worker, blocks, ...spec } = pending;
    const answer = this.#book(key, selectionId, { ...worker, ...spec, blocks });
    this.#cache.remove(selectionId);
    return answer;
  }

  /** Books on the worker that the caller names. */
  reserve(key: PartitionKey, selectionId: string, asked: ExplicitReservation): object {
    const partition = this.#ready(key);
    const isl = asked.isl ?? asked.tokens?.length ?? 0;
    const { workerId, effectivePrefillTokens: effective, expectedOutputTokens } = asked;
    const dpRank = asked.dpRank ?? leastLoadedRank(partition.value.router, workerId);
    if (effective !== undefined && effective > isl)
      throw fail('KV_REQUEST_INVALID', {
        param: 'effective_prefill_tokens',
        reason: `effective_prefill_tokens: ${effective} exceed the ${isl} of the prompt`,
        mend: 'Give what POST /select answered.',
      });
    const tracked = asked.trackPrefillTokens ?? (effective !== undefined || this.#tracksPrefill(asked));
    const blocks = this.#blocksOf(asked, partition);
    this.#cache.remove(selectionId);
    return this.#book(key, selectionId, {
      workerId,
      dpRank,
      isl,
      blocks,
      newTokens: tracked ? (effective ?? isl) : 0,
      expectedOutputTokens,
    });
  }

  /** Throws KV_RECORD_UNKNOWN when there is no such booking, or no longer. */
  booking(selectionId: string): Booking {
    const found = this.#findBooking(selectionId);
    if (found !== undefined) return found;
    throw fail('KV_RECORD_UNKNOWN', {
      what: 'reservation',
      id: selectionId,
      mend: 'It may have ended already.',
    });
  }

  loads(filter: PartitionFilter): readonly object[] {
    return this.#parts.catalog.partitions.matching(filter).map(({ key, value: { router } }) => ({
      model_name: key.modelName,
      routing_group: key.routingGroup,
      loads: router.loads().map(
        ({ worker, activeDecodeBlocks, activePrefillTokens, activeRequests }): Load => ({
          worker_id: BigInt(worker.workerId),
          dp_rank: worker.dpRank,
          potential_prefill_tokens: activePrefillTokens,
          potential_decode_blocks: activeDecodeBlocks,
          active_requests: activeRequests,
        }),
      ),
      pending_count: router.queued,
    }));
  }

  /** What each worker would have to do with this prompt besides. */
  potentialLoads(key: PartitionKey, asked: Asked): readonly Load[] {
    const isl = asked.isl ?? asked.tokens?.length ?? 0;
    const tracked = this.#tracksPrefill(asked);
    return this.#rows(key, asked).map((row) => ({
      worker_id: BigInt(row.worker.workerId),
      dp_rank: row.worker.dpRank,
      potential_prefill_tokens: row.prefillTokens + (tracked ? Math.max(0, isl - row.cachedTokens) : 0),
      potential_decode_blocks: row.activeBlocks + row.additionalBlocks,
      active_requests: row.activeRequests,
    }));
  }

  overlapScores(key: PartitionKey, asked: Asked): object {
    const rows = this.#rows(key, asked);
    const { blockSize } = this.#ready(key);
    const isl = asked.isl ?? asked.tokens?.length ?? 0;
    return {
      block_size: blockSize,
      num_blocks: Math.floor(isl / blockSize),
      workers: rows.map(overlapRow),
      shared_cache: { enabled: false, total_hit_blocks: 0, ranges: [], error: null },
    };
  }

  ready(): {
    readonly ready: boolean;
    readonly schedulable_workers: number;
    readonly workers: readonly object[];
  } {
    const workers = this.#parts.catalog.list({});
    const schedulable = workers.filter((worker) => lacks(worker).length === 0).length;
    return {
      ready: schedulable > 0,
      schedulable_workers: schedulable,
      workers: workers.map(listedWorker),
    };
  }

  dump(): Readonly<Record<string, PartitionDump>> {
    return Object.fromEntries(
      this.#parts.catalog.partitions
        .matching({})
        .map(({ key, value }) => [nameOf(key), dumpOf(value.router)]),
    );
  }

  #ready(key: PartitionKey): PartitionEntry<IndexPartition> {
    const partition = this.#parts.catalog.partitions.find(key);
    if (partition !== undefined) return partition;
    throw fail('KV_SERVICE_NOT_READY', {
      reason: `no worker of ${nameOf(key)} can be chosen`,
      mend: 'POST /workers with its endpoint and block_size.',
    });
  }

  #rows(key: PartitionKey, asked: Asked) {
    const rows = this.#ready(key).value.router.inspect({ requestId: 'inspect', queryOnly: true, ...asked });
    if ('kind' in rows) throw refusalError(rows);
    return rows;
  }

  #answer(
    { key, blockSize, value }: PartitionEntry<IndexPartition>,
    asked: Asked,
    selection: Selection,
    selectionId: string | undefined,
  ): object {
    const { workerId, dpRank } = selection.worker;
    const rows = value.router.inspect({ requestId: 'inspect', queryOnly: true, ...asked });
    const ranks = 'kind' in rows ? [] : rows.filter(({ worker }) => worker.workerId === workerId);
    const chosen = ranks.find(({ worker }) => worker.dpRank === dpRank);
    return {
      ...(selectionId !== undefined && { selection_id: selectionId }),
      model_name: key.modelName,
      routing_group: key.routingGroup,
      worker_id: BigInt(workerId),
      dp_rank: dpRank,
      endpoint: this.#parts.catalog.require(workerId).endpoint,
      block_size: blockSize,
      overlap: tierTokens(ranks, blockSize),
      effective_prefill_tokens: newTokensOf(selection),
      isl_tokens: selection.isl,
      // A booking is in the active blocks already.
      potential_decode_blocks:
        (chosen?.activeBlocks ?? 0) + (selection.booking === undefined ? (chosen?.additionalBlocks ?? 0) : 0),
    };
  }

  #book(
    key: PartitionKey,
    selectionId: string,
    spec: {
      readonly workerId: string;
      readonly dpRank: number;
      readonly blocks: BigUint64Array;
      readonly isl: number;
      readonly newTokens: number;
      readonly expectedOutputTokens: number | undefined;
    },
  ): object {
    const { router } = this.#ready(key).value;
    this.#requireNew(selectionId);
    const { workerId, dpRank } = spec;
    const rank = router.fleet.rankOf({ workerId, dpRank });
    if (rank === undefined)
      throw fail('KV_RECORD_UNKNOWN', {
        what: 'worker',
        id: `${workerId}, rank ${dpRank},`,
        mend: 'GET /workers lists the workers.',
      });
    router.sequences.add({ requestId: selectionId, rank: rank.id, ...spec });
    return {
      selection_id: selectionId,
      model_name: key.modelName,
      routing_group: key.routingGroup,
      worker_id: BigInt(workerId),
      dp_rank: dpRank,
      endpoint: this.#parts.catalog.require(workerId).endpoint,
    };
  }

  #blocksOf(
    { tokens, trackingHashes, namespace }: Asked,
    { blockSize }: PartitionEntry<unknown>,
  ): BigUint64Array {
    if (trackingHashes !== undefined) return trackingHashes;
    return this.#parts.hasher.hashPrompt(tokens ?? new Uint32Array(0), blockSize, namespace).sequence;
  }

  #tracksPrefill({ overrides }: Asked): boolean {
    return overrides?.trackPrefillTokens ?? this.#parts.weights.trackPrefillTokens;
  }

  #findBooking(selectionId: string): Booking | undefined {
    for (const { value } of this.#parts.catalog.partitions.matching({})) {
      const booking = value.router.bookingOf(selectionId);
      if (booking !== undefined) return booking;
    }
    return undefined;
  }

  #requireNew(selectionId: string): void {
    if (this.#findBooking(selectionId) === undefined) return;
    throw fail('KV_RECORD_CONFLICT', {
      reason: `reservation ${selectionId} is active already`,
      mend: 'Give every request an id of its own.',
    });
  }
}

/** 0 for a worker that is not known. */
function leastLoadedRank(router: KvRouter, workerId: string): number {
  const ranks = router.loads().filter(({ worker }) => worker.workerId === workerId);
  const work = (rank: RankLoad): number =>
    rank.activeDecodeBlocks + rank.activePrefillTokens / router.blockSize;
  return ranks.sort((a, b) => work(a) - work(b))[0]?.worker.dpRank ?? 0;
}

function newTokensOf({ isl, decision }: Selection): number {
  return Math.max(0, isl - decision.creditedCachedTokens);
}
