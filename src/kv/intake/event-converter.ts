import type { BlockRemoved, BlockStored, EngineEvent } from '../../formats/kv-events/engine-event.ts';
import { tierOfMedium } from '../../formats/kv-events/medium-tier.ts';
import type { KvEvent, KvStored, StorageTier } from '../event.ts';
import type { BlockHasher } from '../hash.ts';
import { mmHashOfExtraKey } from '../multimodal.ts';
import { BlockSalts } from './block-salts.ts';
import { EventFilter, type FilterRejection } from './event-filter.ts';

/** Why an engine's event, or a part of it, is not indexed. */
export type ConversionRejection =
  | FilterRejection
  | 'block_size_mismatch'
  /** Fewer tokens than its blocks have: those after the last full one are dropped. */
  | 'short_token_ids'
  /** More tokens than its blocks have: nobody can tell which are whose. */
  | 'token_count_mismatch'
  /** Names blocks without saying what is in them, and nobody knows. */
  | 'unknown_block'
  | 'ambiguous_cache_namespace'
  | 'duplicate_hash'
  | 'hash_equals_parent';

/** Blocks that were told of before are now in this tier as well. */
export interface KnownBlocks {
  readonly kind: 'known';
  readonly tier: StorageTier;
  readonly blockHashes: BigUint64Array;
}

export interface EventConverterOptions {
  readonly hasher: BlockHasher;
  readonly blockSize: number;
  readonly onReject: (reason: ConversionRejection) => void;
}

/** Turns one rank's engine events into the router's: places media, hashes tokens, refuses what it cannot read. */
export class EventConverter {
  readonly #options: EventConverterOptions;
  readonly #filter = new EventFilter();
  readonly #salts = new BlockSalts();
  /** Of blocks whose events name none. */
  defaultSalt: string | undefined;

  constructor(options: EventConverterOptions) {
    this.#options = options;
  }

  /** Undefined when nothing of the event can be indexed. */
  convert(event: EngineEvent): KvEvent | KnownBlocks | undefined {
    const rejection = this.#filter.reject(event);
    if (rejection !== undefined) return this.#refuse(rejection);
    switch (event.kind) {
      case 'stored':
        return this.#stored(event);
      case 'removed':
        this.#salts.removed(event.blockHashes);
        return { kind: 'removed', tier: tierOf(event), blockHashes: event.blockHashes };
      case 'cleared':
        this.#salts.clear();
        return { kind: 'cleared' };
    }
  }

  #refuse(reason: ConversionRejection): undefined {
    this.#options.onReject(reason);
    return undefined;
  }

  #stored(event: BlockStored): KvStored | KnownBlocks | undefined {
    const { blockHashes, parentHash, tokenIds } = event;
    const { blockSize } = this.#options;
    if (tokenIds.length === 0) return { kind: 'known', tier: tierOf(event), blockHashes };
    if (event.blockSize !== blockSize) return this.#refuse('block_size_mismatch');
    const full = Math.floor(tokenIds.length / blockSize);
    if (full > blockHashes.length) return this.#refuse('token_count_mismatch');
    const repeated = rejectRepeated(blockHashes, parentHash);
    if (repeated !== undefined) return this.#refuse(repeated);
    const cacheSalt = this.#salts.saltOf(event);
    if (cacheSalt === null) return this.#refuse('ambiguous_cache_namespace');
    if (full < blockHashes.length) this.#refuse('short_token_ids');
    if (full === 0) return undefined;
    const stored = full < blockHashes.length ? blockHashes.slice(0, full) : blockHashes;
    this.#salts.stored(stored, cacheSalt);
    return {
      kind: 'stored',
      tier: tierOf(event),
      parentHash,
      blockHashes: stored,
      localHashes: this.#localHashes(event, full, cacheSalt),
    };
  }

  #localHashes(event: BlockStored, count: number, cacheSalt: string | undefined): BigUint64Array {
    const { hasher, blockSize } = this.#options;
    const { loraName, lookaheadTokenId } = event;
    const namespace = { loraName, cacheSalt: cacheSalt ?? this.defaultSalt };
    const tokens = event.tokenIds.subarray(0, count * blockSize);
    if (lookaheadTokenId !== undefined)
      return hasher.hashEagle(Uint32Array.of(...tokens, lookaheadTokenId), blockSize, namespace).local;
    const objects = multimodalHashes(event, count);
    if (objects === undefined) return hasher.hashPrompt(tokens, blockSize, namespace).local;
    return hasher.hashMultimodal(tokens, blockSize, objects, namespace).local;
  }
}

function tierOf({ medium }: BlockStored | BlockRemoved): StorageTier {
  return tierOfMedium(medium) ?? 'device';
}

function rejectRepeated(hashes: BigUint64Array, parent: bigint | undefined): ConversionRejection | undefined {
  if (hashes.length === 1) return hashes[0] === parent ? 'hash_equals_parent' : undefined;
  if (parent !== undefined && hashes.includes(parent)) return 'hash_equals_parent';
  return new Set(hashes).size < hashes.length ? 'duplicate_hash' : undefined;
}

/** Hashes of the multimodal objects in each block; undefined when no block has any. */
function multimodalHashes(event: BlockStored, count: number): bigint[][] | undefined {
  const { extraKeys, blockMmInfos } = event;
  if (extraKeys === undefined && blockMmInfos === undefined) return undefined;
  const perBlock = Array.from({ length: count }, (_, block) => [
    ...objectsInKeys(extraKeys?.[block]),
    ...objectsInInfo(blockMmInfos?.[block]),
  ]);
  return perBlock.some((objects) => objects.length > 0) ? perBlock : undefined;
}

/** Keys of a block: an object is its identifier, or a pair of identifier and offset. */
function objectsInKeys(keys: unknown): bigint[] {
  if (!Array.isArray(keys)) return [];
  return keys
    .map((key) => mmHashOfExtraKey(Array.isArray(key) ? key[0] : key))
    .filter((hash) => hash !== undefined);
}

function objectsInInfo(info: unknown): bigint[] {
  const objects = (info as { mm_objects?: unknown } | null | undefined)?.mm_objects;
  if (!Array.isArray(objects)) return [];
  return objects
    .map((object: unknown) => (object as { mm_hash?: unknown } | null)?.mm_hash)
    .filter((hash) => typeof hash === 'bigint' || Number.isSafeInteger(hash))
    .map((hash) => BigInt.asUintN(64, BigInt(hash as number | bigint)));
}
