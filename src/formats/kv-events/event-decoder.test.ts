import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { EventDecoder } from './event-decoder.ts';

const pack = (value: unknown): Uint8Array => encode(value, { useBigInt64: true });
const hashesOf = (event: object | undefined): bigint[] => [
  ...((event as { blockHashes?: BigUint64Array }).blockHashes ?? []),
];

/** Decodes one batch of these events; what was rejected is listed with its count. */
function decode(...events: unknown[]) {
  const decoder = new EventDecoder();
  const batch = decoder.decode(pack([1.5, events, 3]));
  const rejected = Object.fromEntries(Object.entries(decoder.counts.rejected).filter(([, n]) => n > 0));
  return { batch, events: batch?.events ?? [], rejected, counts: decoder.counts };
}

describe('a batch of KV events', () => {
  test('loses only its bad events', () => {
    const { events, rejected, counts, batch } = decode(
      ['BlockRemoved', [1n]],
      ['BlockRemoved', 'x'],
      { type: 'BlockRemoved', block_hashes: [2n] },
      { type: 'Novelty', payload: { deep: [[[1]]] } },
      { type: 'Ignored' },
      7,
      ['AllBlocksCleared', 'kvcr'],
    );
    expect(events.map((event) => event.kind)).toEqual(['removed', 'removed', 'cleared']);
    expect(rejected).toEqual({ malformed: 2, unknown_tag: 1, ignored: 1 });
    expect(counts).toMatchObject({ batches: 1, removed: 2, cleared: 1, stored: 0 });
    expect(batch?.dpRank).toBe(3);
  });

  test('keeps what came before the place where it is cut off', () => {
    const decoder = new EventDecoder();
    const whole = pack([
      1.5,
      [
        ['BlockRemoved', [2n ** 40n]],
        ['BlockRemoved', [2n ** 41n]],
      ],
      3,
    ]);
    for (let length = 0; length < whole.length; length++) {
      const events = decoder.decode(whole.subarray(0, length))?.events ?? [];
      expect(events.length).toBeLessThanOrEqual(2);
    }
    const cut = decoder.decode(whole.subarray(0, whole.length - 4));
    expect(cut?.events.map(hashesOf)).toEqual([[2n ** 40n]]);
    expect(cut?.dpRank).toBeUndefined();
    expect(decoder.counts.truncatedBatches).toBeGreaterThan(10);
  });

  test('that announces more elements than it has bytes allocates nothing', () => {
    const decoder = new EventDecoder();
    const huge = Buffer.from('93cb3ff8000000000000ddffffffff00', 'hex');
    expect(decoder.decode(huge)?.events).toEqual([]);
    const hugeHashes = Buffer.from('92cb3ff80000000000009192ac426c6f636b52656d6f766564ddfffffff0', 'hex');
    expect(decoder.decode(hugeHashes)?.events).toEqual([]);
    expect(decoder.counts.truncatedBatches).toBe(2);
  });

  test.each([
    ['nothing', new Uint8Array()],
    ['a text', pack('hello')],
    ['one element', pack([1.5])],
    ['events that are no array', pack([1.5, 7, 0])],
    ['a map without events', pack({ ts: 1.5 })],
  ])('of %s is malformed', (_, payload) => {
    const decoder = new EventDecoder();
    expect(decoder.decode(payload)).toBeUndefined();
    expect(decoder.counts).toMatchObject({ batches: 0, malformedBatches: 1 });
  });

  test('may be a map with the rank under any of its names, or carry more than it should', () => {
    const decoder = new EventDecoder();
    const events = [['AllBlocksCleared']];
    expect(decoder.decode(pack({ extra: [1], attn_dp_rank: 4, events, ts: 9 }))).toMatchObject({
      timestampS: 9,
      dpRank: 4,
    });
    expect(decoder.decode(pack([9, events, 5, 'more', { a: 1 }]))).toMatchObject({ dpRank: 5 });
    expect(decoder.decode(pack([null, events, 'x']))).toMatchObject({ timestampS: 0, dpRank: undefined });
  });
});

describe('a store', () => {
  const tokens = [1, 2, 3, 4];

  test('takes hashes of every integer width and sign, and bytes of every length', () => {
    const hashes = [0, 127, 128, 65536, 2n ** 32n, 2n ** 64n - 1n, -1, -129, -(2n ** 63n), 2n ** 53n];
    const bytes = [new Uint8Array(), new Uint8Array([1]), new Uint8Array(32).fill(0xab)];
    const { events } = decode(['BlockRemoved', [...hashes, ...bytes]]);
    expect(hashesOf(events[0])).toEqual([
      ...[0n, 127n, 128n, 65536n, 2n ** 32n, 2n ** 64n - 1n, 2n ** 64n - 1n, 2n ** 64n - 129n, 2n ** 63n],
      ...[2n ** 53n, 0n, 1n, 0xababababababababn],
    ]);
  });

  test('without tokens names another tier of known blocks, whatever its block size', () => {
    const { events } = decode({ type: 'BlockStored', block_hashes: [5], token_ids: null, medium: 'cpu' });
    expect(events).toMatchObject([{ kind: 'stored', blockSize: 0, medium: 'cpu', parentHash: undefined }]);
  });

  test.each([
    ['token_count_mismatch', ['BlockStored', [1], null, tokens, 2, null]],
    ['token_count_mismatch', ['BlockStored', [1], null, tokens]],
    ['duplicate_hash', ['BlockStored', [1, 1], null, tokens, 2, null]],
    ['duplicate_hash', ['BlockStored', [...Array(100).keys(), 57], null, [], 0, null]],
    ['hash_equals_parent', ['BlockStored', [1, 2], 2, tokens, 2, null]],
    ['malformed', ['BlockStored', null, null, tokens, 4]],
    ['malformed', ['BlockStored', [1], null, [1, 2, 3, 2 ** 32], 4]],
    ['malformed', ['BlockStored', [1], null, [1, 2, 3, -1], 4]],
    ['malformed', ['BlockStored', [1.5], null, tokens, 4]],
    ['malformed', { block_hashes: [1] }],
    ['malformed', { type: 'BlockStored', block_hashes: [1], medium: 7 }],
  ])('is rejected as %s: %j', (reason, event) => {
    expect(decode(event)).toMatchObject({ events: [], rejected: { [reason]: 1 } });
  });

  test('of a hundred different blocks passes the check for duplicates', () => {
    const { events } = decode(['BlockStored', [...Array(100).keys()], 777, [], 0]);
    expect(hashesOf(events[0])).toHaveLength(100);
  });

  test('of pairs keeps the first token of each and the last of all', () => {
    const pairs = [
      [10, 11],
      [11, 12],
    ];
    const { events } = decode(['BlockStored', [9], null, pairs, 2, null]);
    expect(events).toMatchObject([{ tokenIds: new Uint32Array([10, 11]), lookaheadTokenId: 12 }]);
  });

  test('of the form in which SGLang put metadata at position 7', () => {
    const metadata = { cache_salt: 'tenant', session_id: 's-1', more: 1 };
    const { events } = decode(['BlockStored', [9], null, tokens, 4, null, 'GPU', metadata]);
    expect(events).toMatchObject([{ cacheSalt: 'tenant', sessionId: 's-1', medium: 'GPU' }]);
    expect(events[0]).not.toHaveProperty('loraName');
  });

  test('with multimodal infos at position 9 has its tail read by type', () => {
    const infos = [{ mm_objects: [{ mm_hash: 2n ** 60n, offsets: [[0, 3]] }] }];
    const head = ['BlockStored', [9], null, tokens, 4, null, 'GPU', null, [null]];
    expect(decode([...head, infos, 1, 'sliding_window', 128]).events).toMatchObject([
      { blockMmInfos: infos, groupIdx: 1, kvCacheSpecKind: 'sliding_window', slidingWindow: 128 },
    ]);
    expect(decode([...head, 'full_attention']).events).toMatchObject([{ kvCacheSpecKind: 'full_attention' }]);
    expect(decode([...head, 2, 64]).events).toMatchObject([{ groupIdx: 2, slidingWindow: 64 }]);
    expect(decode([...head, { a: 1 }])).toMatchObject({ events: [], rejected: { malformed: 1 } });
  });

  test('ignores unknown keys and positions beyond the known ones', () => {
    const map = { future: { x: [1] }, block_hashes: [3], type: 'BlockStored', token_ids: [], block_size: 0 };
    const array = ['BlockStored', [4], null, [], 0, ...Array(9).fill(null), 'new', { newer: true }];
    const { events, rejected } = decode(map, array);
    expect(events.map(hashesOf)).toEqual([[3n], [4n]]);
    expect(rejected).toEqual({});
  });

  test('does not change the prototype through a key of its extra keys', () => {
    const { events } = decode({
      type: 'BlockStored',
      block_hashes: [3],
      extra_keys: [{ ['__proto__']: { evil: 1 } }],
    });
    const [extra] = (events[0] as { extraKeys: readonly object[] }).extraKeys;
    expect(Object.keys(extra!)).toEqual(['__proto__']);
    expect(extra).not.toHaveProperty('evil');
  });
});
