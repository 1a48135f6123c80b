import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { BlockStored, EngineEvent } from '../../formats/kv-events/engine-event.ts';
import type { KvEvent, KvStored } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import { EventConverter } from './event-converter.ts';

const golden = JSON.parse(readFileSync(new URL('../../../test/golden/router.json', import.meta.url), 'utf8'));
const hasher = new BlockHasher();

function makeConverter(blockSize = 4) {
  const rejected: string[] = [];
  const converter = new EventConverter({ hasher, blockSize, onReject: (reason) => rejected.push(reason) });
  return { rejected, convert: (event: EngineEvent) => converter.convert(event) as KvEvent | undefined };
}

function stored(changes: Partial<BlockStored> = {}): BlockStored {
  return {
    kind: 'stored',
    blockHashes: BigUint64Array.of(101n, 102n),
    parentHash: undefined,
    tokenIds: Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    blockSize: 4,
    ...changes,
  };
}

const locals = (event: KvEvent | undefined): string[] => [...(event as KvStored).localHashes].map(String);
const goldenBlocks = (name: string): string[] =>
  golden.blocks.find((vector: { name: string }) => vector.name === name).local;

describe('a store', () => {
  test('is hashed from its tokens and keeps the ids of the engine', () => {
    const { convert } = makeConverter();
    const event = convert(stored({ parentHash: 9n, medium: 'cpu' }));
    expect(event).toMatchObject({ kind: 'stored', tier: 'host_pinned', parentHash: 9n });
    expect([...(event as KvStored).blockHashes]).toEqual([101n, 102n]);
    expect(locals(event)).toEqual(goldenBlocks('partial tail dropped (11 tokens)'));
  });

  test.each([
    ['lora', { loraName: 'adapter-a' }],
    ['salt', { cacheSalt: 'tenant-a' }],
    ['salt', { cacheSalt: 'dynamo-cache-salt:tenant-a' }],
    ['lora+salt', { loraName: 'adapter-a', extraKeys: [['adapter-a', 'dynamo-cache-salt:tenant-a'], null] }],
    ['empty lora = none', { loraName: '' }],
    ['mm: one object in block 0', { extraKeys: [[`${'0123456789abcdef'.repeat(4)}`], null] }],
    ['mm: one object in block 0', { extraKeys: [[['0123456789abcdef'.repeat(4), -3]], null] }],
    [
      'mm: two objects, order independent',
      {
        blockMmInfos: [
          { mm_objects: [{ mm_hash: 18446744073709551600n }, { mm_hash: 9 }] },
          { mm_objects: [{ mm_hash: 5 }] },
        ],
      },
    ],
  ])('has the recorded hashes of: %s', (name, changes) => {
    expect(locals(makeConverter().convert(stored(changes)))).toEqual(goldenBlocks(name));
  });

  test('of token pairs is hashed over the next token too', () => {
    const event = makeConverter().convert(stored({ lookaheadTokenId: 9 }));
    expect(locals(event)).toEqual(goldenBlocks('eagle bs 4, 9 tokens'));
  });

  test('inherits the salt of its parent, until that is gone', () => {
    const { convert } = makeConverter();
    convert(
      stored({
        cacheSalt: 'tenant-a',
        blockHashes: BigUint64Array.of(1n),
        tokenIds: Uint32Array.of(1, 2, 3, 4),
      }),
    );
    const child = stored({
      parentHash: 1n,
      blockHashes: BigUint64Array.of(2n),
      tokenIds: Uint32Array.of(5, 6, 7, 8),
    });
    expect(locals(convert(child))).toEqual([goldenBlocks('salt')[1]]);
    convert({ kind: 'removed', blockHashes: BigUint64Array.of(1n) });
    expect(locals(convert(child))).toEqual([goldenBlocks('partial tail dropped (11 tokens)')[1]]);
  });

  test('below a block seen under two salts is dropped', () => {
    const { convert, rejected } = makeConverter();
    convert(stored({ cacheSalt: 'a' }));
    convert(stored({ cacheSalt: 'b' }));
    expect(convert(stored({ parentHash: 102n, blockHashes: BigUint64Array.of(7n, 8n) }))).toBeUndefined();
    expect(rejected).toEqual(['ambiguous_cache_namespace']);
    convert({ kind: 'cleared' });
    expect(convert(stored({ parentHash: 102n, blockHashes: BigUint64Array.of(7n, 8n) }))).toBeDefined();
  });

  test('with too few tokens keeps its full blocks', () => {
    const { convert, rejected } = makeConverter();
    const event = convert(stored({ tokenIds: Uint32Array.of(1, 2, 3, 4, 5) }));
    expect([...(event as KvStored).blockHashes]).toEqual([101n]);
    expect(locals(event)).toEqual(goldenBlocks('exact one block'));
    expect(rejected).toEqual(['short_token_ids']);
  });

  test('without tokens tells that known blocks are in a tier too', () => {
    const blockHashes = BigUint64Array.of(101n);
    const { convert, rejected } = makeConverter();
    const event = convert(stored({ blockHashes, tokenIds: new Uint32Array(0), blockSize: 0, medium: 'CPU' }));
    expect(event).toEqual({ kind: 'known', tier: 'host_pinned', blockHashes });
    expect(rejected).toEqual([]);
  });

  test.each<[string, Partial<BlockStored>]>([
    ['block_size_mismatch', { blockSize: 8 }],
    ['short_token_ids', { tokenIds: Uint32Array.of(1, 2, 3) }],
    ['token_count_mismatch', { tokenIds: new Uint32Array(12) }],
    ['unknown_medium', { medium: 'OBJ' }],
    ['non_local_locality', { locality: 'REMOTE' }],
    ['unsupported_ownership', { ownership: 'kvcr' }],
    ['duplicate_hash', { blockHashes: BigUint64Array.of(5n, 5n) }],
    ['hash_equals_parent', { parentHash: 102n }],
    ['non_main_attention_kind', { kvCacheSpecKind: 'mamba' }],
    ['unknown_kind', { kvCacheSpecKind: 'holographic' }],
    ['unlearned_group_idx', { groupIdx: 1 }],
  ])('is refused for %s', (reason, changes) => {
    const { convert, rejected } = makeConverter();
    expect(convert(stored(changes))).toBeUndefined();
    expect(rejected).toEqual([reason]);
  });
});

describe('cache groups', () => {
  test('count once their kind is known to be main attention', () => {
    const { convert, rejected } = makeConverter();
    const removed = (groupIdx?: number) =>
      convert({
        kind: 'removed',
        blockHashes: BigUint64Array.of(1n),
        ...(groupIdx !== undefined && { groupIdx }),
      });
    expect(removed()).toBeDefined();
    expect(removed(0)).toBeDefined();
    expect(removed(1)).toBeUndefined();
    convert(stored({ groupIdx: 1, kvCacheSpecKind: 'mla_attention' }));
    expect(removed(1)).toBeDefined();
    convert(stored({ groupIdx: 2, kvCacheSpecKind: 'sliding_window' }));
    expect(removed(2)).toBeUndefined();
    expect(rejected).toEqual(['unlearned_group_idx', 'non_main_attention_kind', 'non_main_attention_group']);
  });
});

describe('removes and clears', () => {
  test('are placed by medium', () => {
    const { convert, rejected } = makeConverter();
    const blockHashes = BigUint64Array.of(1n);
    expect(convert({ kind: 'removed', blockHashes, medium: 'NVME' })).toMatchObject({ tier: 'disk' });
    expect(convert({ kind: 'removed', blockHashes })).toMatchObject({ tier: 'device' });
    expect(convert({ kind: 'removed', blockHashes, medium: 'FS' })).toBeUndefined();
    expect(convert({ kind: 'cleared' })).toEqual({ kind: 'cleared' });
    expect(convert({ kind: 'cleared', ownership: 'kvcr' })).toBeUndefined();
    expect(rejected).toEqual(['unknown_medium', 'unsupported_ownership']);
  });
});
