import type { MsgpackCursor } from './msgpack-cursor.ts';
import { WordTable } from './word-table.ts';

/** The fields of one event as they were read, before it is known which kind it is: map keys have no order. */
export interface EventDraft {
  tag: string | undefined;
  blockHashes: BigUint64Array | undefined;
  parentHash: bigint | undefined;
  tokenIds: Uint32Array | undefined;
  lookaheadTokenId: number | undefined;
  blockSize: number | undefined;
  loraId: number | undefined;
  medium: string | undefined;
  loraName: string | undefined;
  extraKeys: readonly unknown[] | undefined;
  groupIdx: number | undefined;
  kvCacheSpecKind: string | undefined;
  slidingWindow: number | undefined;
  locality: string | undefined;
  ownership: string | undefined;
  sessionId: string | undefined;
  cacheSalt: string | undefined;
  blockMmInfos: readonly unknown[] | undefined;
}

type Numbers = 'blockSize' | 'loraId' | 'groupIdx' | 'slidingWindow';
type Texts =
  | 'tag'
  | 'medium'
  | 'loraName'
  | 'kvCacheSpecKind'
  | 'locality'
  | 'ownership'
  | 'sessionId'
  | 'cacheSalt';
type Lists = 'extraKeys' | 'blockMmInfos';

/** How the value of a field is read, and where it goes. */
export type Field =
  | { readonly kind: 'hashes' | 'parent' | 'tokens' }
  | { readonly kind: 'number'; readonly key: Numbers }
  | { readonly kind: 'text'; readonly key: Texts }
  | { readonly kind: 'list'; readonly key: Lists };

/** Every field of every engine, by its name in events that are maps. */
export const FIELDS = {
  type: { kind: 'text', key: 'tag' },
  block_hashes: { kind: 'hashes' },
  parent_block_hash: { kind: 'parent' },
  token_ids: { kind: 'tokens' },
  block_size: { kind: 'number', key: 'blockSize' },
  lora_id: { kind: 'number', key: 'loraId' },
  medium: { kind: 'text', key: 'medium' },
  lora_name: { kind: 'text', key: 'loraName' },
  extra_keys: { kind: 'list', key: 'extraKeys' },
  group_idx: { kind: 'number', key: 'groupIdx' },
  kv_cache_spec_kind: { kind: 'text', key: 'kvCacheSpecKind' },
  kv_cache_spec_sliding_window: { kind: 'number', key: 'slidingWindow' },
  locality: { kind: 'text', key: 'locality' },
  ownership: { kind: 'text', key: 'ownership' },
  session_id: { kind: 'text', key: 'sessionId' },
  cache_salt: { kind: 'text', key: 'cacheSalt' },
  block_mm_infos: { kind: 'list', key: 'blockMmInfos' },
} as const satisfies Record<string, Field>;

export const FIELD_NAMES = new WordTable(Object.keys(FIELDS));

/** Texts that nearly every event carries. */
const COMMON_WORDS = new WordTable([
  ...['BlockStored', 'BlockRemoved', 'AllBlocksCleared', 'Ignored', 'LOCAL', 'REMOTE'],
  ...['GPU', 'CPU', 'CPU_PINNED', 'CPU_TIER1', 'CPU_TIER2', 'DISK', 'STORAGE', 'EXTERNAL', 'cpu'],
  ...['full_attention', 'mla_attention', 'sliding_window', 'mamba'],
]);

export function emptyDraft(): EventDraft {
  return {
    tag: undefined,
    blockHashes: undefined,
    parentHash: undefined,
    tokenIds: undefined,
    lookaheadTokenId: undefined,
    blockSize: undefined,
    loraId: undefined,
    medium: undefined,
    loraName: undefined,
    extraKeys: undefined,
    groupIdx: undefined,
    kvCacheSpecKind: undefined,
    slidingWindow: undefined,
    locality: undefined,
    ownership: undefined,
    sessionId: undefined,
    cacheSalt: undefined,
    blockMmInfos: undefined,
  };
}

/** Reads the next value as that field; a nil leaves it undefined. False if the value has another type. */
export function readField(cursor: MsgpackCursor, field: Field, draft: EventDraft): boolean {
  if (cursor.nil()) return true;
  switch (field.kind) {
    case 'hashes': {
      draft.blockHashes = readHashes(cursor);
      return draft.blockHashes !== undefined;
    }
    case 'parent': {
      const hash = new BigUint64Array(1);
      if (!cursor.u64Into(new Uint32Array(hash.buffer), 0)) return false;
      draft.parentHash = hash[0];
      return true;
    }
    case 'tokens':
      return readTokens(cursor, draft);
    case 'number': {
      const value = cursor.uint();
      draft[field.key] = value;
      return value >= 0;
    }
    case 'text': {
      const value = cursor.text(COMMON_WORDS);
      draft[field.key] = value;
      return value !== undefined;
    }
    case 'list': {
      const value = cursor.peek() === 'array' ? cursor.value() : undefined;
      draft[field.key] = value as readonly unknown[] | undefined;
      return value !== undefined;
    }
  }
}

function readHashes(cursor: MsgpackCursor): BigUint64Array | undefined {
  const count = cursor.arrayLength();
  if (count < 0) return undefined;
  const hashes = new BigUint64Array(count);
  const words = new Uint32Array(hashes.buffer);
  for (let i = 0; i < count; i++) if (!cursor.u64Into(words, i)) return undefined;
  return hashes;
}

function readTokens(cursor: MsgpackCursor, draft: EventDraft): boolean {
  const count = cursor.arrayLength();
  if (count < 0) return false;
  draft.tokenIds = new Uint32Array(count);
  if (count === 0 || cursor.peek() !== 'array') return cursor.u32sInto(draft.tokenIds);
  const pair = new Uint32Array(2);
  for (let i = 0; i < count; i++) {
    if (cursor.arrayLength() !== 2 || !cursor.u32sInto(pair)) return false;
    draft.tokenIds[i] = pair[0]!;
  }
  draft.lookaheadTokenId = pair[1]!;
  return true;
}
