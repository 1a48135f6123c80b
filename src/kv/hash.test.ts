import { readFileSync } from 'node:fs';
import { xxh3 } from '@node-rs/xxhash';
import { describe, expect, test } from 'vitest';
import { BlockHasher } from './hash.ts';
import { mmHashesPerBlock, mmHashOfExtraKey, padToken, substitutePlaceholders } from './multimodal.ts';

interface GoldenBlocks {
  readonly name: string;
  readonly tokens?: readonly number[];
  readonly tokens_rule?: string;
  readonly token_count?: number;
  readonly block_size: number;
  readonly lora_name?: string;
  readonly cache_salt?: string;
  readonly eagle?: boolean;
  readonly mm_hashes_per_block?: readonly (readonly string[] | null)[];
  readonly local: readonly string[];
  readonly sequence: readonly string[];
}

const golden = JSON.parse(readFileSync(new URL('../../test/golden/router.json', import.meta.url), 'utf8'));
const hasher = new BlockHasher();
const words = (hashes: BigUint64Array): string[] => [...hashes].map(String);

const TOKEN_RULES: Readonly<Record<string, (i: number) => number>> = {
  'token i = i': (i) => i,
  'token i = 100 + i': (i) => 100 + i,
  'token i = (31*i + 17) mod 128256': (i) => (31 * i + 17) % 128_256,
};

function tokensOf(vector: GoldenBlocks): Uint32Array {
  if (vector.tokens !== undefined) return Uint32Array.from(vector.tokens);
  return Uint32Array.from({ length: vector.token_count! }, (_, i) => TOKEN_RULES[vector.tokens_rule!]!(i));
}

describe('XXH3-64', () => {
  test.each(golden.xxh3_raw as { len: number; seed: string; hash: string }[])(
    'of $len bytes with seed $seed is as recorded',
    ({ len, seed, hash }) => {
      const bytes = Uint8Array.from({ length: len }, (_, i) => 7 * i + 3);
      expect(hasher.hashBytes(bytes, BigInt(seed)).toString()).toBe(hash);
    },
  );

  test('agrees with the native library on every length to 2100 bytes, with seeds of all sizes', () => {
    const bytes = Uint8Array.from({ length: 2100 }, (_, i) => (i * i + (i >> 3)) % 251);
    for (const seed of [0n, 1337n, 0xffff_ffffn, 0x9e37_79b1_85eb_ca87n]) {
      for (let length = 0; length <= bytes.length; length++) {
        const range = bytes.subarray(0, length);
        const expected = xxh3.xxh64(range, seed);
        const found = hasher.hashBytes(range, seed);
        if (found !== expected) expect({ length, seed, found }).toEqual({ length, seed, found: expected });
      }
    }
  });

  test('of several blocks of stripes agrees with the native library', () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i * 31);
    expect(hasher.hashBytes(bytes, 7n)).toBe(xxh3.xxh64(bytes, 7n));
  });

  test('gives the constants that Dynamo tests hold', () => {
    expect(hasher.hashText('test data', 1337n)).toBe(13226331709069118873n);
  });
});

describe('hashes of a prompt', () => {
  test.each(golden.blocks as GoldenBlocks[])('are as recorded: $name', (vector) => {
    const tokens = tokensOf(vector);
    const namespace = { loraName: vector.lora_name, cacheSalt: vector.cache_salt };
    const mmHashes = vector.mm_hashes_per_block?.map((block) => block?.map(BigInt));
    const hashes =
      vector.eagle === true
        ? hasher.hashEagle(tokens, vector.block_size, namespace)
        : mmHashes !== undefined
          ? hasher.hashMultimodal(tokens, vector.block_size, mmHashes, namespace)
          : hasher.hashPrompt(tokens, vector.block_size, namespace);
    expect(words(hashes.local)).toEqual(vector.local);
    expect(words(hashes.sequence)).toEqual(vector.sequence);
  });

  test.each(golden.request_seeds as { lora_name: string | null; cache_salt: string | null; seed: string }[])(
    'have the recorded seed in namespace $lora_name / $cache_salt',
    ({ lora_name, cache_salt, seed }) => {
      const namespace = { loraName: lora_name ?? undefined, cacheSalt: cache_salt ?? undefined };
      expect(hasher.seedOf(namespace).toString()).toBe(seed);
    },
  );

  test('do not exist for a block size of zero', () => {
    expect(hasher.hashPrompt(Uint32Array.of(1, 2, 3), 0).local).toHaveLength(0);
    expect(hasher.hashEagle(Uint32Array.of(1, 2, 3), 0).sequence).toHaveLength(0);
    expect(hasher.hashEagle(new Uint32Array(0), 4).sequence).toHaveLength(0);
  });

  test('continue from a parent as they would have in one prompt', () => {
    const tokens = Uint32Array.from({ length: 96 }, (_, i) => i);
    const { local, sequence } = hasher.hashPrompt(tokens, 16);
    expect(hasher.chain(local.subarray(2), sequence[1])).toEqual(sequence.subarray(2));
    expect(hasher.chain(local)).toEqual(sequence);
    expect(hasher.chain(new BigUint64Array(0), 5n)).toHaveLength(0);
  });

  test('survive the growth of the kernel memory and stay the caller’s own', () => {
    const fresh = new BlockHasher();
    const small = fresh.hashPrompt(Uint32Array.of(1, 2, 3, 4), 4);
    const large = Uint32Array.from({ length: 200_000 }, (_, i) => i % 50_000);
    const { local, sequence } = fresh.hashPrompt(large, 64);
    expect(small.local[0]).toBe(14643705804678351452n);
    const last = large.subarray(64 * 3124, 64 * 3125);
    expect(local[3124]).toBe(xxh3.xxh64(new Uint8Array(last.slice().buffer), 1337n));
    const pair = new Uint8Array(BigUint64Array.of(sequence[3123]!, local[3124]!).buffer);
    expect(sequence[3124]).toBe(xxh3.xxh64(pair, 1337n));
  });
});

describe('multimodal objects', () => {
  test.each(golden.mm_pad_value as { mm_hash: string; pad_token: string }[])(
    'with hash $mm_hash are named by token $pad_token',
    ({ mm_hash, pad_token }) => expect(String(padToken(BigInt(mm_hash)))).toBe(pad_token),
  );

  test('replace their placeholders before the canonical form is hashed', () => {
    const { substituted, block_size, local, sequence, mm_hash, source_tokens } = golden.mm_pad_block;
    const source = Uint32Array.from(source_tokens, (token) => (token === 'img' ? 0 : (token as number)));
    const tokens = substitutePlaceholders(source, [{ mmHash: BigInt(mm_hash), start: 2, end: 5 }]);
    expect([...tokens]).toEqual(substituted);
    const hashes = hasher.hashPrompt(tokens, block_size);
    expect([words(hashes.local), words(hashes.sequence)]).toEqual([local, sequence]);
  });

  test('touch every block that their placeholders reach, each hash once, in ascending order', () => {
    const objects = [
      { mmHash: 9n, start: 3, end: 9 },
      { mmHash: 5n, start: 4, end: 5 },
      { mmHash: 9n, start: 9, end: 10 },
      { mmHash: 1n, start: 2, end: 2 },
      { mmHash: 2n, start: 11, end: 40 },
    ];
    expect(mmHashesPerBlock(objects, 4, 3)).toEqual([[9n], [5n, 9n], [2n, 9n]]);
  });

  test.each(golden.mm_key_parse as { extra_key: string; mm_hash: string | null }[])(
    'are read from extra key $extra_key as $mm_hash',
    ({ extra_key, mm_hash }) => expect(mmHashOfExtraKey(extra_key)?.toString() ?? null).toBe(mm_hash),
  );
});
