import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { EventDecoder } from './event-decoder.ts';

interface Block {
  readonly parent: string;
  readonly serialised: string;
  readonly hash: string;
  readonly event_u64: string;
}

const golden = new URL('../../../test/golden/kv-events/vllm-block-hashes.json', import.meta.url);
const algorithms = JSON.parse(readFileSync(golden, 'utf8')) as Record<string, { readonly blocks: Block[] }>;
const blocks = Object.entries(algorithms).flatMap(([name, { blocks: list }]) =>
  list.map((block, i) => [`${name} ${i}`, block] as const),
);
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('block hashes of vLLM', () => {
  test('cover three algorithms with four blocks each', () => {
    expect(blocks).toHaveLength(12);
  });

  test.each(blocks)('as bytes and as integers mean the same: %s', (_, { hash, parent, event_u64 }) => {
    const decoder = new EventDecoder();
    const store = (own: unknown, before: unknown): unknown =>
      decoder.decode(
        encode([0, [['BlockStored', [own], before, [1, 2, 3, 4], 4, null]]], { useBigInt64: true }),
      )?.events[0];
    const parentU64 = Buffer.from(parent, 'hex').readBigUInt64BE(parent.length / 2 - 8);
    const fromBytes = store(bytes(hash), bytes(parent));
    expect(fromBytes).toEqual(store(BigInt(event_u64), parentU64));
    expect(fromBytes).toMatchObject({
      blockHashes: BigUint64Array.of(BigInt(event_u64)),
      parentHash: parentU64,
    });
  });

  test('are digests of what the engine serialises', () => {
    for (const name of ['sha256', 'sha256_cbor'])
      for (const { serialised, hash } of algorithms[name]!.blocks)
        expect(createHash('sha256').update(bytes(serialised)).digest('hex')).toBe(hash);
  });
});
