import { decode as unpack } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIALECTS, type Dialect, type DialectName, type FieldName } from './dialects.ts';
import type { BlockStored, EngineEvent, EngineEventBatch } from './engine-event.ts';
import { EventDecoder } from './event-decoder.ts';
import { EventEncoder } from './event-encoder.ts';

const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 300n }));
const u32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const word = fc.oneof(fc.constantFrom('GPU', 'CPU', 'full_attention', ''), fc.string({ maxLength: 40 }));

const stored = fc
  .record({
    parentHash: fc.option(u64, { nil: undefined }),
    hashes: fc.uniqueArray(u64, { maxLength: 40 }),
    blockSize: fc.integer({ min: 1, max: 32 }),
    seed: u32,
    extras: fc.record(
      {
        loraId: fc.nat(),
        loraName: word,
        medium: word,
        extraKeys: fc.array(fc.option(fc.array(fc.oneof(word, fc.nat())))),
        groupIdx: fc.nat(),
        kvCacheSpecKind: word,
        slidingWindow: fc.nat(),
        locality: word,
        ownership: word,
        sessionId: word,
        cacheSalt: word,
        blockMmInfos: fc.array(fc.option(fc.record({ mm_objects: fc.array(word) }))),
      },
      { requiredKeys: [] },
    ),
  })
  .filter(({ hashes, parentHash }) => parentHash === undefined || !hashes.includes(parentHash))
  .map(({ parentHash, hashes, blockSize, seed, extras }): EngineEvent => {
    const tokenIds = Uint32Array.from(
      { length: hashes.length * blockSize },
      (_, i) => (seed * (i + 1)) >>> 0,
    );
    return {
      kind: 'stored',
      blockHashes: BigUint64Array.from(hashes),
      parentHash,
      tokenIds,
      blockSize,
      ...extras,
    };
  });
const removed = fc
  .record({
    hashes: fc.array(u64),
    extras: fc.record({ medium: word, groupIdx: fc.nat(), locality: word }, { requiredKeys: [] }),
  })
  .map(({ hashes, extras }): EngineEvent => {
    return { kind: 'removed', blockHashes: BigUint64Array.from(hashes), ...extras };
  });
const batches = fc.record({
  timestampS: fc.double({ noNaN: true, noDefaultInfinity: true }),
  dpRank: fc.option(fc.nat(1000), { nil: undefined }),
  events: fc.array(fc.oneof(stored, removed, fc.constant<EngineEvent>({ kind: 'cleared' })), {
    maxLength: 6,
  }),
}) as fc.Arbitrary<EngineEventBatch>;

const KEYS: Readonly<Record<FieldName, keyof BlockStored>> = {
  block_hashes: 'blockHashes',
  parent_block_hash: 'parentHash',
  token_ids: 'tokenIds',
  block_size: 'blockSize',
  lora_id: 'loraId',
  medium: 'medium',
  lora_name: 'loraName',
  extra_keys: 'extraKeys',
  group_idx: 'groupIdx',
  kv_cache_spec_kind: 'kvCacheSpecKind',
  kv_cache_spec_sliding_window: 'slidingWindow',
  locality: 'locality',
  ownership: 'ownership',
  session_id: 'sessionId',
  cache_salt: 'cacheSalt',
  block_mm_infos: 'blockMmInfos',
};

/** What is left of a batch in a dialect that knows only some of the fields. */
function lossy(batch: EngineEventBatch, dialect: Dialect): EngineEventBatch {
  const events = batch.events.map((event) => {
    if (event.kind === 'cleared') return event;
    const keys: string[] = dialect[event.kind].map((name) => KEYS[name]);
    const kept = Object.entries(event).filter(([key]) => key === 'kind' || keys.includes(key));
    return Object.fromEntries(kept) as unknown as EngineEvent;
  });
  const rootless = events.map((event) =>
    dialect.hashes === 'wide' && event.kind === 'stored'
      ? { ...event, parentHash: event.parentHash ?? 0n }
      : event,
  );
  return { ...batch, dpRank: dialect.batch === 2 ? undefined : batch.dpRank, events: rootless };
}

describe('what an encoder writes', () => {
  test.each(Object.keys(DIALECTS) as DialectName[])('in dialect %s reads back the same', (name) => {
    const encoder = new EventEncoder(name);
    const decoder = new EventDecoder();
    fc.assert(
      fc.property(batches, (batch) => {
        const expected = lossy(batch, DIALECTS[name]);
        fc.pre(
          expected.events.every(
            (event) => event.kind !== 'stored' || event.parentHash !== 0n || !event.blockHashes.includes(0n),
          ),
        );
        expect(decoder.decode(encoder.encode(batch))).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  test('is valid msgpack to another library, with the same numbers', () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const [ts, events, rank] = unpack(new EventEncoder('vllm-main').encode(batch), {
          useBigInt64: true,
        }) as [number, Record<string, unknown>[], number | null];
        expect({ ts, rank }).toEqual({ ts: batch.timestampS, rank: batch.dpRank ?? null });
        for (const [i, event] of batch.events.entries()) {
          if (event.kind === 'cleared') continue;
          const hashes = events[i]?.block_hashes as (number | bigint)[];
          expect(hashes.map(BigInt)).toEqual([...event.blockHashes]);
          if (event.kind === 'stored') expect(events[i]?.token_ids).toEqual([...event.tokenIds]);
        }
      }),
      { numRuns: 200 },
    );
  });
});
