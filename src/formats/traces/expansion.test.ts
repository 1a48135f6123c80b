import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { xxh3 } from '@node-rs/xxhash';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockTokens } from './block-tokens.ts';
import { canonicalIds, canonicalTokens } from './canonical-ids.ts';
import { parseTrace } from './parse-trace.ts';

interface GoldenRow {
  readonly row: object;
  readonly canonical: readonly number[];
  readonly effective_input: number;
  readonly reused: number;
  readonly stored_parent: string | null;
  readonly stored: readonly (readonly [string, string])[];
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../test/golden/workload/expansion.json'), 'utf8'),
) as { rows: readonly GoldenRow[] };

const ENGINE_BLOCK = 64;
const SEED = 1337n;

function localHashes(tokens: Uint32Array): bigint[] {
  const blocks = Math.floor(tokens.length / ENGINE_BLOCK);
  return Array.from({ length: blocks }, (_, block) =>
    xxh3.xxh64(Buffer.from(tokens.slice(block * ENGINE_BLOCK, (block + 1) * ENGINE_BLOCK).buffer), SEED),
  );
}

function chained(local: readonly bigint[]): bigint[] {
  const sequence: bigint[] = [];
  for (const hash of local) {
    const parent = sequence.at(-1);
    const pair = Buffer.alloc(16);
    pair.writeBigUInt64LE(parent ?? 0n, 0);
    pair.writeBigUInt64LE(hash, 8);
    sequence.push(parent === undefined ? hash : xxh3.xxh64(pair, SEED));
  }
  return sequence;
}

describe('canonical expansion', () => {
  const trace = parseTrace(
    golden.rows.map(({ row }) => JSON.stringify(row)),
    { repair: true },
  );
  const canonical = canonicalIds(trace.rows);

  test('gives the reference ids, lengths, reuse and block hashes', () => {
    const cached = new Set<bigint>();
    golden.rows.forEach((expected, index) => {
      const { inputLength } = trace.rows[index]!;
      const tokens = canonicalTokens(canonical.rows[index]!, inputLength, trace.blockSize);
      expect([...canonical.rows[index]!]).toEqual(expected.canonical);
      expect(tokens).toHaveLength(expected.effective_input);
      const local = localHashes(tokens);
      const sequence = chained(local);
      const fresh = sequence.findIndex((hash) => !cached.has(hash));
      const held = fresh < 0 ? sequence.length : fresh;
      expect(held * ENGINE_BLOCK).toBe(expected.reused);
      expect(sequence.slice(held).map((hash, i) => [String(hash), String(local[held + i])])).toEqual(
        expected.stored,
      );
      expect(held === 0 ? null : String(sequence[held - 1])).toBe(expected.stored_parent);
      for (const hash of sequence) cached.add(hash);
    });
    expect(canonical.distinct).toBe(3);
  });
});

describe('live expansion', () => {
  test('shares exactly the tokens that common leading ids cover', () => {
    const tokens = new BlockTokens({ seed: 7, size: 30_000 });
    const ids = fc.array(fc.integer({ min: 0, max: 2 ** 52 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(ids, ids, ids, fc.integer({ min: 1, max: 40 }), (shared, a, b, blockSize) => {
        fc.pre(a[0] !== b[0]);
        const make = (list: readonly number[]): Uint32Array => {
          const into = new Uint32Array(list.length * blockSize);
          expect(tokens.fill(list, into.length, blockSize, into)).toBe(into.length);
          return into;
        };
        const left = make([...shared, ...a]);
        const right = make([...shared, ...b]);
        const common = shared.length * blockSize;
        expect(left.slice(0, common)).toEqual(right.slice(0, common));
        // One block in 30,000^blockSize would agree by accident; with eight tokens none does.
        if (blockSize >= 8) {
          expect(left.slice(common, common + blockSize)).not.toEqual(right.slice(common, common + blockSize));
        }
      }),
      { numRuns: 50, seed: 1 },
    );
  });

  test('makes any token of any block alone as within the prompt', () => {
    const tokens = new BlockTokens({ seed: 3, size: 95 });
    const into = new Uint32Array(1000);
    tokens.fill([5, 2 ** 40 + 5], 1000, 512, into);
    expect(into[511]).toBe(tokens.at(5, 511));
    expect(into[513]).toBe(tokens.at(2 ** 40 + 5, 1));
    expect(tokens.at(5, 1)).not.toBe(tokens.at(2 ** 40 + 5, 1));
    expect(Math.max(...into)).toBeLessThan(95);
  });
});
