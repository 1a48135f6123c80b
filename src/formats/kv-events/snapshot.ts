import { fail } from '../../base/errors.ts';
import type { BlockStored, EngineEvent } from './engine-event.ts';

/** All blocks that one rank holds, as if they had been stored just now, parents first. */
export interface RankBlocks {
  readonly dpRank: number;
  /** Number of the last published batch that the blocks reflect; -1 before the first. */
  readonly lastSeq: number;
  readonly events: readonly EngineEvent[];
}

/** The answer of `GET /kv/snapshot`; hashes are decimal texts, as JSON numbers would lose digits. */
export function snapshotBody(ranks: readonly RankBlocks[]): object {
  return {
    ranks: ranks.map(({ dpRank, lastSeq, events }) => ({
      dp_rank: dpRank,
      last_seq: lastSeq,
      events: events.filter((event) => event.kind === 'stored').map(storedBody),
    })),
  };
}

function storedBody(event: BlockStored): object {
  return {
    type: 'BlockStored',
    block_hashes: Array.from(event.blockHashes, String),
    parent_block_hash: event.parentHash?.toString() ?? null,
    token_ids: Array.from(event.tokenIds),
    block_size: event.blockSize,
    lora_name: event.loraName,
    medium: event.medium,
    cache_salt: event.cacheSalt,
  };
}

/** Reads a snapshot; throws `KV_ENGINE_BROKE_OFF` with the first thing that is wrong. */
export function readSnapshot(body: unknown, url: string): RankBlocks[] {
  const wrong = (what: string) => fail('KV_ENGINE_BROKE_OFF', { url, reason: `its KV snapshot has ${what}` });
  const ranks = (body as { ranks?: unknown } | null | undefined)?.ranks;
  if (!Array.isArray(ranks)) throw wrong('no ranks');
  return ranks.map((rank: unknown) => {
    const { dp_rank, last_seq, events } = (rank ?? {}) as Record<string, unknown>;
    if (!Number.isSafeInteger(dp_rank) || !Number.isSafeInteger(last_seq) || !Array.isArray(events))
      throw wrong('a rank without number, sequence or events');
    return {
      dpRank: dp_rank as number,
      lastSeq: last_seq as number,
      events: events.map((event) => readStored(event, wrong)),
    };
  });
}

function readStored(value: unknown, wrong: (what: string) => Error): BlockStored {
  const raw = (value ?? {}) as Record<string, unknown>;
  const { block_hashes, parent_block_hash, token_ids, block_size } = raw;
  if (!Array.isArray(block_hashes) || !Array.isArray(token_ids) || !Number.isSafeInteger(block_size))
    throw wrong('an event without hashes, tokens or block size');
  if (token_ids.length !== 0 && token_ids.length !== block_hashes.length * (block_size as number))
    throw wrong(`${token_ids.length} tokens for ${block_hashes.length} blocks of ${block_size}`);
  const hash = (text: unknown): bigint => {
    if (typeof text === 'string' && /^\d{1,20}$/.test(text)) return BigInt(text);
    throw wrong(`the hash ${JSON.stringify(text)}`);
  };
  return {
    kind: 'stored',
    blockHashes: BigUint64Array.from(block_hashes, hash),
    parentHash: parent_block_hash == null ? undefined : hash(parent_block_hash),
    tokenIds: Uint32Array.from(token_ids as number[]),
    blockSize: block_size as number,
    ...(typeof raw.lora_name === 'string' && { loraName: raw.lora_name }),
    ...(typeof raw.medium === 'string' && { medium: raw.medium }),
    ...(typeof raw.cache_salt === 'string' && { cacheSalt: raw.cache_salt }),
  };
}
