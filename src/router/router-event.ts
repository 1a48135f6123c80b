import type { KvEvent, StorageTier, WorkerKey } from '../kv/event.ts';

/** An event of a rank as Dynamo's services exchange it; hashes are u64. */
export interface RouterEvent {
  readonly worker_id: number | bigint | string;
  /** `device` where absent. */
  readonly storage_tier?: StorageTier | undefined;
  readonly event: {
    readonly event_id: number;
    readonly dp_rank?: number | undefined;
    readonly data: RouterEventData;
  };
}

type Hash = number | bigint;

type RouterEventData =
  | {
      readonly stored: {
        readonly parent_hash?: Hash | null | undefined;
        readonly blocks: readonly { readonly block_hash: Hash; readonly tokens_hash: Hash }[];
      };
    }
  | { readonly removed: { readonly block_hashes: readonly Hash[] } }
  | 'cleared';

/** The event in Dynamo's form. */
export function toRouterEvent({ workerId, dpRank }: WorkerKey, event: KvEvent, eventId: number): RouterEvent {
  const tier = event.kind === 'cleared' ? undefined : event.tier;
  return {
    worker_id: BigInt(workerId),
    ...(tier !== undefined && { storage_tier: tier }),
    event: { event_id: eventId, dp_rank: dpRank, data: dataOf(event) },
  };
}

/** The rank and the event that it stands for; undefined for one that says nothing we know. */
export function fromRouterEvent({
  worker_id,
  storage_tier,
  event,
}: RouterEvent): { readonly key: WorkerKey; readonly event: KvEvent } | undefined {
  const key = { workerId: String(worker_id), dpRank: event.dp_rank ?? 0 };
  const tier = storage_tier === undefined ? {} : { tier: storage_tier };
  const { data } = event;
  if (data === 'cleared') return { key, event: { kind: 'cleared' } };
  if ('stored' in data) {
    const { parent_hash, blocks } = data.stored;
    return {
      key,
      event: {
        kind: 'stored',
        ...tier,
        parentHash: parent_hash == null ? undefined : u64(parent_hash),
        blockHashes: BigUint64Array.from(blocks, (block) => u64(block.block_hash)),
        localHashes: BigUint64Array.from(blocks, (block) => u64(block.tokens_hash)),
      },
    };
  }
  if ('removed' in data)
    return {
      key,
      event: { kind: 'removed', ...tier, blockHashes: BigUint64Array.from(data.removed.block_hashes, u64) },
    };
  return undefined;
}

function dataOf(event: KvEvent): RouterEventData {
  switch (event.kind) {
    case 'cleared':
      return 'cleared';
    case 'removed':
      return { removed: { block_hashes: [...event.blockHashes] } };
    case 'stored':
      return {
        stored: {
          parent_hash: event.parentHash ?? null,
          blocks: Array.from(event.blockHashes, (block_hash, i) => ({
            block_hash,
            tokens_hash: event.localHashes[i]!,
          })),
        },
      };
  }
}

function u64(hash: Hash): bigint {
  return BigInt.asUintN(64, BigInt(hash));
}
