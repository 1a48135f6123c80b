import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { KvEvent, StorageTier } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import { Ranks } from '../ranks.ts';
import type { KvIndex } from './kv-index.ts';

const hasher = new BlockHasher();
const u64s = (values: readonly (number | bigint | string)[]): BigUint64Array =>
  BigUint64Array.from(values, (value) => BigInt(value));

/** Local hashes of blocks named by letters. */
const local = (name: string): BigUint64Array => u64s([...name].map((letter) => letter.charCodeAt(0)));
const sequence = (name: string): BigUint64Array => hasher.chain(local(name));

function stored(ids: readonly number[], name: string, parent?: number, tier?: StorageTier): KvEvent {
  return {
    kind: 'stored',
    parentHash: parent === undefined ? undefined : BigInt(parent),
    blockHashes: u64s(ids),
    localHashes: local(name),
    ...(tier === undefined ? {} : { tier }),
  };
}

function removed(ids: readonly number[], tier?: StorageTier): KvEvent {
  return { kind: 'removed', blockHashes: u64s(ids), ...(tier === undefined ? {} : { tier }) };
}

const CLEARED: KvEvent = { kind: 'cleared' };

/** Non-zero depths of one tier, by rank. */
function depths(
  index: KvIndex,
  name: string,
  tier: keyof ReturnType<KvIndex['match']> = 'device',
): Record<number, number> {
  return Object.fromEntries(
    [...index.match(sequence(name))[tier].entries()].filter(([, depth]) => depth > 0),
  );
}

/** What every implementation of {@link KvIndex} does. */
export function describeKvIndex(name: string, make: () => KvIndex): void {
  describe(`${name} as a KV index`, () => {
    describe('device blocks', () => {
      test('of an empty index are held by nobody', () => {
        expect(depths(make(), 'ABC')).toEqual({});
        expect(depths(make(), '')).toEqual({});
      });

      test('count from the first block of the prompt on', () => {
        const index = make();
        expect(index.apply(1, stored([1, 2, 3], 'ABC'))).toEqual({ status: 'ok', warning: undefined });
        expect(depths(index, 'ABCD')).toEqual({ 1: 3 });
        expect(depths(index, 'ABX')).toEqual({ 1: 2 });
        expect(depths(index, 'BC')).toEqual({});
      });

      test('extend a parent, of which the rank must hold the id', () => {
        const index = make();
        index.apply(1, stored([1, 2], 'AB'));
        expect(index.apply(1, stored([3, 4], 'CD', 2)).status).toBe('ok');
        expect(index.apply(2, stored([3, 4], 'CD', 2)).status).toBe('parent_block_not_found');
        expect(index.apply(1, stored([9], 'X', 42)).status).toBe('parent_block_not_found');
        expect(depths(index, 'ABCD')).toEqual({ 1: 4 });
        expect(index.residentsOf(2)).toBe(0);
      });

      test('may be stored again, with a warning when nothing changed', () => {
        const index = make();
        index.apply(1, stored([1, 2], 'AB'));
        expect(index.apply(1, stored([1, 2], 'AB'))).toEqual({ status: 'ok', warning: 'duplicate_store' });
        expect(index.apply(1, stored([1, 2, 3], 'ABC'))).toEqual({ status: 'ok', warning: undefined });
        expect(index.apply(1, removed([2]))).toEqual({ status: 'ok', warning: undefined });
        expect(depths(index, 'ABC')).toEqual({ 1: 1 });
      });

      test('tell which of a store were there in its tier, however long it is', () => {
        const index = make();
        const ids = Array.from({ length: 3000 }, (_, i) => i + 1);
        const event = { ...stored(ids, ''), localHashes: u64s(ids) } as KvEvent;
        const knownOf = (each: KvEvent): number[] => {
          const known: number[] = [];
          index.apply(1, each, (place) => known.push(place));
          return known;
        };
        expect(knownOf(event)).toEqual([]);
        index.apply(1, removed([1, 2, 1025, 2500]));
        const missing = new Set([0, 1, 1024, 2499]);
        expect(knownOf(event)).toEqual([...ids.keys()].filter((place) => !missing.has(place)));
        expect(knownOf({ ...event, tier: 'disk' } as KvEvent)).toEqual([]);
        expect(knownOf(stored([1], 'X', 9999))).toEqual([]);
      });

      test('are removed past unknown ones, which are reported once', () => {
        const index = make();
        index.apply(1, stored([1, 2, 3], 'ABC'));
        expect(index.apply(1, removed([42, 3, 43, 2])).status).toBe('block_not_found');
        expect(depths(index, 'ABC')).toEqual({ 1: 1 });
        expect(index.apply(1, removed([3])).status).toBe('block_not_found');
        expect(index.apply(7, removed([1])).status).toBe('block_not_found');
        expect(index.apply(7, removed([])).status).toBe('ok');
      });

      test('stay behind a removed ancestor and count again when it returns', () => {
        const index = make();
        index.apply(1, stored([1, 2, 3, 4, 5], 'ABCDE'));
        index.apply(2, stored([1, 2, 3, 4], 'ABCD'));
        index.apply(1, removed([2]));
        expect(depths(index, 'ABCDE')).toEqual({ 1: 1, 2: 4 });
        index.apply(1, stored([2], 'B', 1));
        expect(depths(index, 'ABCDE')).toEqual({ 1: 5, 2: 4 });
        index.apply(1, removed([1, 3]));
        expect(depths(index, 'ABCDE')).toEqual({ 2: 4 });
        index.apply(1, stored([1], 'A'));
        expect(depths(index, 'ABCDE')).toEqual({ 1: 2, 2: 4 });
      });

      test('end up the same in whatever order they are removed', () => {
        const orders = [
          [1, 2, 4],
          [4, 2, 1],
          [2, 4, 1],
        ];
        for (const order of orders) {
          const index = make();
          index.apply(0, stored([1, 2, 3, 4, 5], 'ABCDE'));
          for (const id of order) index.apply(0, removed([id]));
          expect(depths(index, 'ABCDE')).toEqual({});
          expect(index.residentsOf(0)).toBe(2);
          index.apply(0, stored([1, 2], 'AB'));
          expect(depths(index, 'ABCDE')).toEqual({ 0: 3 });
        }
      });

      test('need a resident parent even where a descendant of it is resident', () => {
        const index = make();
        index.apply(0, stored([1, 2, 3], 'ABC'));
        index.apply(0, removed([2]));
        expect(index.apply(0, stored([9], 'X', 2)).status).toBe('parent_block_not_found');
        expect(index.apply(0, stored([9], 'X', 3)).status).toBe('ok');
      });

      test('of two ids are held until both are removed', () => {
        const index = make();
        index.apply(0, stored([1, 2], 'AB'));
        index.apply(0, stored([7], 'A'));
        expect(index.residentsOf(0)).toBe(3);
        index.apply(0, removed([1]));
        expect(depths(index, 'AB')).toEqual({ 0: 2 });
        index.apply(0, removed([7]));
        expect(depths(index, 'AB')).toEqual({});
        index.apply(0, stored([7], 'A'));
        expect(depths(index, 'AB')).toEqual({ 0: 2 });
      });

      test('are those that the latest store of an id names', () => {
        const index = make();
        index.apply(0, stored([1, 2, 3], 'ABC'));
        expect(index.apply(0, stored([2], 'X', 3))).toEqual({ status: 'ok', warning: undefined });
        expect(depths(index, 'ABC')).toEqual({ 0: 1 });
        expect(index.residentsOf(0)).toBe(3);
        index.apply(0, stored([8], 'B', 1));
        expect(depths(index, 'ABCX')).toEqual({ 0: 4 });
        index.apply(0, removed([2]));
        expect(depths(index, 'ABCX')).toEqual({ 0: 3 });
      });

      test('that an event names wrongly are refused with all of it', () => {
        const index = make();
        index.apply(0, stored([1], 'A'));
        expect(index.apply(0, stored([2, 3], 'B', 1)).status).toBe('invalid_block');
        expect(index.apply(0, stored([2, 1], 'BC', 1)).status).toBe('invalid_block');
        expect(index.residentsOf(0)).toBe(1);
      });

      test('with ids and hashes at the ends of the range are like any others', () => {
        const index = make();
        const ids = u64s([0, 2n ** 64n - 1n, 2n ** 63n]);
        const localHashes = u64s([2n ** 64n - 1n, 0, 2n ** 63n]);
        index.apply(0, { kind: 'stored', parentHash: undefined, blockHashes: ids, localHashes });
        expect(index.match(hasher.chain(localHashes)).device[0]).toBe(3);
        index.apply(0, { kind: 'stored', parentHash: 0n, blockHashes: u64s([5]), localHashes: u64s([0]) });
        expect(index.match(hasher.chain(u64s([0, 0]))).device[0]).toBe(0);
        expect(index.match(hasher.chain(u64s([2n ** 64n - 1n, 0]))).device[0]).toBe(2);
        expect(index.apply(0, { kind: 'removed', blockHashes: ids }).status).toBe('ok');
        expect(index.residentsOf(0)).toBe(1);
      });
    });

    describe('lower tiers', () => {
      test('count the blocks by which they extend the tiers before them', () => {
        const index = make();
        index.apply(0, stored([1, 2], 'AB'));
        index.apply(0, stored([2, 3, 4], 'BCD', 1, 'host_pinned'));
        index.apply(0, stored([5], 'E', 4, 'disk'));
        index.apply(0, stored([6, 7], 'FG', 5, 'external'));
        expect(depths(index, 'ABCDEFGH')).toEqual({ 0: 2 });
        expect(depths(index, 'ABCDEFGH', 'hostPinned')).toEqual({ 0: 2 });
        expect(depths(index, 'ABCDEFGH', 'disk')).toEqual({ 0: 1 });
        expect(depths(index, 'ABCDEFGH', 'external')).toEqual({ 0: 2 });
        expect(index.residentsOf(0)).toBe(7);
      });

      test('start at the root where the device holds nothing', () => {
        const index = make();
        index.apply(0, stored([1], 'A'));
        index.apply(3, stored([1, 2], 'AB', undefined, 'disk'));
        expect(depths(index, 'ABC')).toEqual({ 0: 1 });
        expect(depths(index, 'ABC', 'disk')).toEqual({ 3: 2 });
      });

      test('are walked once each, in order, and never back', () => {
        const index = make();
        index.apply(0, stored([1], 'A', undefined, 'disk'));
        index.apply(0, stored([2], 'B', 1, 'host_pinned'));
        expect(depths(index, 'AB')).toEqual({});
        expect(depths(index, 'AB', 'hostPinned')).toEqual({});
        expect(depths(index, 'AB', 'disk')).toEqual({ 0: 1 });
      });

      test('lose a block by themselves', () => {
        const index = make();
        index.apply(0, stored([1, 2], 'AB'));
        expect(index.apply(0, removed([2], 'host_pinned')).status).toBe('block_not_found');
        index.apply(0, stored([1, 2], 'AB', undefined, 'host_pinned'));
        index.apply(0, removed([1, 2]));
        expect(depths(index, 'AB')).toEqual({});
        expect(depths(index, 'AB', 'hostPinned')).toEqual({ 0: 2 });
        expect(index.apply(0, stored([3], 'C', 2)).status).toBe('ok');
        expect(index.apply(0, removed([2, 1], 'host_pinned')).status).toBe('ok');
        expect(index.residentsOf(0)).toBe(1);
      });
    });

    describe('ranks', () => {
      test('are cleared one at a time, in every tier', () => {
        const index = make();
        index.apply(0, stored([1, 2], 'AB'));
        index.apply(0, stored([3], 'C', 2, 'disk'));
        index.apply(1, stored([1, 2], 'AB'));
        expect(index.apply(0, CLEARED)).toEqual({ status: 'ok', warning: undefined });
        expect(index.apply(9, CLEARED)).toEqual({ status: 'ok', warning: undefined });
        expect(depths(index, 'ABC')).toEqual({ 1: 2 });
        expect(depths(index, 'ABC', 'disk')).toEqual({});
        expect(index.apply(0, stored([4], 'C', 2)).status).toBe('parent_block_not_found');
        index.apply(0, stored([1], 'A'));
        expect(depths(index, 'ABC')).toEqual({ 0: 1, 1: 2 });
      });

      test('leave nothing to the next bearer of their id', () => {
        const index = make();
        index.apply(4, stored([1, 2, 3], 'ABC'));
        index.removeRank(4);
        index.removeRank(5);
        expect(depths(index, 'ABC')).toEqual({});
        expect(index.residentsOf(4)).toBe(0);
        index.apply(4, stored([1], 'A'));
        expect(depths(index, 'ABC')).toEqual({ 4: 1 });
      });

      test('may be many: each holds what it stored', () => {
        const index = make();
        const prompt = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
        const depthOf = (rank: number): number => 1 + ((rank * 7) % 26);
        for (let rank = 0; rank < 300; rank++) {
          const ids = Array.from({ length: depthOf(rank) }, (_, i) => i + 1);
          index.apply(rank, stored(ids, prompt.slice(0, depthOf(rank))));
        }
        const found = (): number[] => [...index.match(sequence(prompt)).device.subarray(0, 300)];
        const expected = Array.from({ length: 300 }, (_, rank) => depthOf(rank));
        expect(found()).toEqual(expected);
        for (let rank = 0; rank < 300; rank += 2) index.removeRank(rank);
        const left = expected.map((depth, rank) => (rank % 2 === 0 ? 0 : depth));
        expect(found()).toEqual(left.slice(0, found().length));
      });
    });

    describe('a dump', () => {
      const restore = (index: KvIndex, rank?: number): KvIndex => {
        const copy = make();
        for (const { rank: of, event } of index.dump(rank)) expect(copy.apply(of, event).status).toBe('ok');
        return copy;
      };

      test('of an empty index is empty', () => expect(make().dump()).toEqual([]));

      test('stores parents first, in runs', () => {
        const index = make();
        index.apply(2, stored([1, 2], 'AB'));
        index.apply(2, stored([3, 4], 'CD', 2));
        expect(index.dump()).toEqual([{ rank: 2, event: stored([1, 2, 3, 4], 'ABCD') }]);
        expect(index.dump(1)).toEqual([]);
      });

      test('restores branches, tiers, holes and reused ids', () => {
        const index = make();
        index.apply(0, stored([1, 2, 3, 4], 'ABCD'));
        index.apply(0, stored([5, 6], 'XY', 2));
        index.apply(0, stored([2, 3], 'BC', 1, 'host_pinned'));
        index.apply(0, stored([7], 'Z', 6, 'disk'));
        index.apply(0, removed([2, 5]));
        index.apply(0, stored([5], 'Q', 1));
        index.apply(1, stored([9], 'A'));
        index.apply(1, stored([8, 7], 'BC', 9));
        index.apply(1, removed([9]));
        const copy = restore(index);
        for (const target of [index, copy]) {
          expect(target.residentsOf(0)).toBe(7);
          expect(target.residentsOf(1)).toBe(2);
          expect(depths(target, 'ABCD')).toEqual({ 0: 1 });
          expect(depths(target, 'ABCD', 'hostPinned')).toEqual({ 0: 2 });
          expect(depths(target, 'AQ')).toEqual({ 0: 2 });
          target.apply(0, stored([12, 13], 'BX', 1));
          expect(depths(target, 'ABXYZ')).toEqual({ 0: 4 });
          expect(depths(target, 'ABXYZ', 'disk')).toEqual({ 0: 1 });
          target.apply(1, stored([9], 'A'));
          expect(depths(target, 'ABC')).toMatchObject({ 1: 3 });
        }
        expect(restore(index, 1).residentsOf(0)).toBe(0);
      });
    });

    test('follows the recorded trace', () => replayGoldenTrace(make()));

    test('tells how many blocks it knows and how many residents they have', () => {
      const index = make();
      index.apply(0, stored([1, 2, 3], 'ABC'));
      index.apply(1, stored([11, 12], 'AB'));
      index.apply(1, stored([12], 'B', 11, 'disk'));
      expect(index.stats()).toMatchObject({ blocks: 3, residents: 5, evicted: 0 });
      index.apply(0, removed([2]));
      index.apply(0, removed([3]));
      expect(index.stats()).toMatchObject({ blocks: 2, residents: 3 });
      const { memoryBytes, usedBytes, limitBytes } = index.stats();
      expect(usedBytes).toBeGreaterThan(0);
      expect(memoryBytes).toBeGreaterThanOrEqual(usedBytes);
      expect(limitBytes).toBeGreaterThanOrEqual(memoryBytes);
    });
  });
}

interface GoldenEvent {
  readonly worker_id: number;
  readonly dp_rank: number;
  readonly data: {
    readonly stored?: {
      readonly parent_hash: string | null;
      readonly blocks: readonly { readonly block_hash: string; readonly tokens_hash: string }[];
    };
    readonly removed?: { readonly block_hashes: readonly string[] };
  };
  readonly status: string;
  readonly warning: string | null;
  readonly scores_ABCD: Readonly<Record<string, number>>;
  readonly scores_ABX: Readonly<Record<string, number>>;
}

function replayGoldenTrace(index: KvIndex): void {
  const path = new URL('../../../test/golden/router.json', import.meta.url);
  const trace = JSON.parse(readFileSync(path, 'utf8')).index_trace;
  const ranks = new Ranks();
  const scores = (names: readonly string[]): Record<string, number> => {
    const { device } = index.match(hasher.chain(u64s(names.map((block) => trace.local[block]))));
    const found = [...ranks.entries()].filter(([rank]) => (device[rank] ?? 0) > 0);
    return Object.fromEntries(found.map(([rank, key]) => [`${key.workerId}.${key.dpRank}`, device[rank]!]));
  };
  for (const event of trace.events as GoldenEvent[]) {
    const rank = ranks.add({ workerId: String(event.worker_id), dpRank: event.dp_rank });
    const applied = index.apply(rank, goldenEvent(event));
    expect(applied).toEqual({ status: event.status, warning: event.warning ?? undefined });
    expect(scores(['A', 'B', 'C', 'D'])).toEqual(event.scores_ABCD);
    expect(scores(['A', 'B', 'X'])).toEqual(event.scores_ABX);
  }
  index.removeRank(ranks.idOf({ workerId: '2', dpRank: 0 })!);
  expect(scores(['A', 'B', 'C', 'D'])).toEqual(trace.tail.remove_worker_2);
}

function goldenEvent({ data }: GoldenEvent): KvEvent {
  if (data.removed !== undefined) return { kind: 'removed', blockHashes: u64s(data.removed.block_hashes) };
  if (data.stored === undefined) return CLEARED;
  const { parent_hash, blocks } = data.stored;
  return {
    kind: 'stored',
    parentHash: parent_hash === null ? undefined : BigInt(parent_hash),
    blockHashes: u64s(blocks.map((block) => block.block_hash)),
    localHashes: u64s(blocks.map((block) => block.tokens_hash)),
  };
}
