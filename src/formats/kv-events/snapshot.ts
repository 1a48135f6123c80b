import { fail } from '../../base/errors.ts';
import type { BlockRemoved, BlockStored, EngineEvent } from './engine-event.ts';

/**
 * All blocks that one rank holds, as if they had been stored just now, parents first; a parent that is gone is stored,
 * and removed again at the end.
 */
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
      events: events.flatMap(eventBody),
    })),
  };
}

function eventBody(event: EngineEvent): object[] {
  switch (event.kind) {
    case 'stored':
      return [storedBody(event)];
    case 'removed':
      return [
        { type: 'BlockRemoved', block_hashes: Array.from(event.blockHashes, String), medium: event.medium },
      ];
    case 'cleared':
      return [];
  }
}

function storedBody(event: BlockStored): object {
  return {
    type: 'BlockStored',
    block_hashes: Array.from(event.blockHashes, String),
    parent_block_hash: event.parentHash?.toString() ?? null,
    token_ids: Array.from(event.tokenIds),
    lookahead_token_id: event.lookaheadTokenId,
    block_size: event.blockSize,
    lora_name: event.loraName,
    medium: event.medium,
    cache_salt: event.cacheSalt,
    extra_keys: event.extraKeys && plainKeys(event.extraKeys),
    block_mm_infos: event.blockMmInfos && plainInfos(event.blockMmInfos),
  };
}

/** Keys that name something; digests, which come as bytes, mean nothing to others. */
function plainKeys(keys: readonly unknown[]): unknown[] {
  const plain = (key: unknown): boolean =>
    typeof key === 'string' ||
    (Array.isArray(key) && key.every((part) => ['string', 'number'].includes(typeof part)));
  return keys.map((block) => (Array.isArray(block) ? block.filter(plain) : null));
}

/** Hashes of multimodal objects as decimal texts. */
function plainInfos(infos: readonly unknown[]): unknown[] {
  return infos.map((info) => {
    const objects = (info as { mm_objects?: unknown } | null | undefined)?.mm_objects;
    if (!Array.isArray(objects)) return null;
    return {
      mm_objects: objects.map((object) => ({ mm_hash: String((object as { mm_hash?: unknown }).mm_hash) })),
    };
  });
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
      events: events.map((event) => readEvent(event, wrong)),
    };
  });
}

type Wrong = (what: string) => Error;

function readEvent(value: unknown, wrong: Wrong): EngineEvent {
  const raw = (value ?? {}) as Record<string, unknown>;
  return raw.type === 'BlockRemoved' ? readRemoved(raw, wrong) : readStored(raw, wrong);
}

function readRemoved({ block_hashes, medium }: Record<string, unknown>, wrong: Wrong): BlockRemoved {
  if (!Array.isArray(block_hashes)) throw wrong('an event without hashes');
  const blockHashes = BigUint64Array.from(block_hashes, (text) => readHash(text, wrong));
  return { kind: 'removed', blockHashes, ...(typeof medium === 'string' && { medium }) };
}

function readStored(raw: Record<string, unknown>, wrong: Wrong): BlockStored {
  const { block_hashes, parent_block_hash, token_ids, block_size, lookahead_token_id } = raw;
  if (!Array.isArray(block_hashes) || !Array.isArray(token_ids) || !Number.isSafeInteger(block_size))
    throw wrong('an event without hashes, tokens or block size');
  if (token_ids.length !== 0 && token_ids.length !== block_hashes.length * (block_size as number))
    throw wrong(`${token_ids.length} tokens for ${block_hashes.length} blocks of ${block_size}`);
  return {
    kind: 'stored',
    blockHashes: BigUint64Array.from(block_hashes, (text) => readHash(text, wrong)),
    parentHash: parent_block_hash == null ? undefined : readHash(parent_block_hash, wrong),
    tokenIds: Uint32Array.from(token_ids as number[]),
    blockSize: block_size as number,
    ...(typeof lookahead_token_id === 'number' && { lookaheadTokenId: lookahead_token_id }),
    ...(typeof raw.lora_name === 'string' && { loraName: raw.lora_name }),
    ...(typeof raw.medium === 'string' && { medium: raw.medium }),
    ...(typeof raw.cache_salt === 'string' && { cacheSalt: raw.cache_salt }),
    ...(Array.isArray(raw.extra_keys) && { extraKeys: raw.extra_keys as unknown[] }),
    ...(Array.isArray(raw.block_mm_infos) && {
      blockMmInfos: raw.block_mm_infos.map((info) => readInfo(info, wrong)),
    }),
  };
}

function readInfo(info: unknown, wrong: Wrong): unknown {
  const objects = (info as { mm_objects?: unknown } | null | undefined)?.mm_objects;
  if (!Array.isArray(objects)) return null;
  const hashOf = (object: unknown): bigint =>
    readHash((object as { mm_hash?: unknown } | null)?.mm_hash, wrong);
  return { mm_objects: objects.map((object) => ({ mm_hash: hashOf(object) })) };
}

function readHash(text: unknown, wrong: Wrong): bigint {
  if (typeof text === 'string' && /^\d{1,20}$/.test(text)) return BigInt(text);
  throw wrong(`the hash ${JSON.stringify(text)}`);
}
