import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import type { KvEvent, StorageTier } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import { NaiveIndex } from '../index/naive-index.ts';
import { RankFeed } from './rank-feed.ts';

function makeFeed() {
  const index = new NaiveIndex();
  const applied: string[] = [];
  const rejected: string[] = [];
  const feed = new RankFeed({
    clock: new VirtualClock(),
    rank: 0,
    key: { workerId: '1', dpRank: 0 },
    index,
    hasher: new BlockHasher(),
    blockSize: 4,
    observer: {
      eventApplied: (_worker, kind, status) => applied.push(`${kind} ${status}`),
      eventRejected: (_worker, reason) => rejected.push(reason),
    },
  });
  return { index, feed, applied, rejected };
}

/** Ids that the index holds in any tier. */
function held(index: NaiveIndex): bigint[] {
  const ids = new Set<bigint>();
  for (const { event } of index.dump(0)) {
    if (event.kind === 'stored') for (const id of event.blockHashes) ids.add(id);
    if (event.kind === 'removed') for (const id of event.blockHashes) ids.delete(id);
  }
  return [...ids].sort((a, b) => Number(a - b));
}

const ids = (...numbers: number[]): BigUint64Array => BigUint64Array.from(numbers.map(BigInt));
const store = (parent: number | undefined, ...numbers: number[]): KvEvent => ({
  kind: 'stored',
  parentHash: parent === undefined ? undefined : BigInt(parent),
  blockHashes: ids(...numbers),
  localHashes: ids(...numbers.map((number) => 1000 + number)),
});
const tokens = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, i) => i);
const told = { kind: 'stored', parentHash: undefined, blockSize: 4 } as const;
const remove = (...numbers: number[]): KvEvent => ({ kind: 'removed', blockHashes: ids(...numbers) });

describe('the feed of a rank', () => {
  test('drops a block with its last copy', () => {
    const { feed, index } = makeFeed();
    feed.apply(store(undefined, 1, 2));
    feed.apply(store(undefined, 1, 2, 3));
    feed.apply(remove(1, 2, 3));
    expect(held(index)).toEqual([1n, 2n]);
    feed.apply(remove(2));
    expect(held(index)).toEqual([1n]);
  });

  test('counts copies behind a block that is new, as one that fills a hole', () => {
    const { feed, index } = makeFeed();
    feed.apply(store(undefined, 1, 2, 3));
    feed.apply(remove(2));
    feed.apply(store(undefined, 1, 2, 3));
    feed.apply(remove(3, 2, 1));
    expect(held(index)).toEqual([1n, 3n]);
    feed.apply(remove(3, 1));
    expect(held(index)).toEqual([]);
  });

  test('tells one outcome for each event', () => {
    const { feed, applied } = makeFeed();
    feed.apply(store(undefined, 1, 2));
    feed.apply(store(undefined, 1, 2, 3));
    feed.apply(store(99, 4));
    feed.apply(remove(77));
    feed.apply({ kind: 'cleared' });
    expect(applied).toEqual([
      'stored ok',
      'stored ok',
      'stored parent_block_not_found',
      'removed block_not_found',
      'cleared ok',
    ]);
  });

  test('forgets the copies of an id that names another block now', () => {
    const { feed, index } = makeFeed();
    feed.apply(store(undefined, 1, 2));
    feed.apply(store(undefined, 1, 2));
    const renamed = { ...store(undefined, 1, 2), localHashes: ids(1001, 5555) } as KvEvent;
    feed.apply(renamed);
    feed.apply(remove(2));
    expect(held(index)).toEqual([1n]);
    feed.apply(renamed);
    feed.apply(renamed);
    feed.apply(remove(2));
    expect(held(index)).toEqual([1n, 2n]);
    feed.apply(remove(2));
    expect(held(index)).toEqual([1n]);
  });

  test('forgets copies when the rank is cleared', () => {
    const { feed, index } = makeFeed();
    feed.apply(store(undefined, 1));
    feed.apply(store(undefined, 1));
    feed.apply({ kind: 'cleared' });
    feed.apply(store(undefined, 1));
    feed.apply(remove(1));
    expect(held(index)).toEqual([]);
  });

  test('puts known blocks into a lower tier, where they outlive the device', () => {
    const { feed, index, rejected } = makeFeed();
    const { sequence } = new BlockHasher().hashPrompt(tokens(12), 4);
    feed.applyEngineEvent({ ...told, blockHashes: ids(1, 2, 3), tokenIds: tokens(12) });
    feed.applyEngineEvent({ ...told, blockHashes: ids(1, 2, 77), tokenIds: tokens(0), medium: 'CPU' });
    feed.applyEngineEvent({ kind: 'removed', blockHashes: ids(3, 2, 1) });
    const { device, hostPinned } = index.match(sequence);
    expect([device[0], hostPinned[0]]).toEqual([0, 2]);
    // Told after the device has let go of it.
    feed.applyEngineEvent({ ...told, blockHashes: ids(3), tokenIds: tokens(0), medium: 'CPU' });
    expect(index.match(sequence).hostPinned[0]).toBe(3);
    feed.applyEngineEvent({ kind: 'removed', blockHashes: ids(1, 2, 3), medium: 'CPU' });
    expect(held(index)).toEqual([]);
    expect(rejected).toEqual(['unknown_block']);
  });

  test('keeps blocks of a lower tier whose parent is nowhere until it is back', () => {
    const { feed, index, applied } = makeFeed();
    const { sequence } = new BlockHasher().hashPrompt(tokens(16), 4);
    const chain = { ...told, blockHashes: ids(1, 2, 3, 4), tokenIds: tokens(16) };
    const tail = { ...chain, parentHash: 1n, blockHashes: ids(2, 3, 4), tokenIds: tokens(16).subarray(4) };
    const reach = () => [index.match(sequence).device[0] ?? 0, index.match(sequence).hostPinned[0] ?? 0];
    feed.applyEngineEvent({ ...tail, medium: 'CPU' });
    expect([reach(), feed.flaw, held(index)]).toEqual([[0, 0], undefined, []]);
    feed.applyEngineEvent({ ...chain, blockHashes: ids(1), tokenIds: tokens(4) });
    expect(reach()).toEqual([1, 3]);
    expect(applied).toEqual(['stored ok', 'stored ok']);
    feed.applyEngineEvent({ kind: 'removed', blockHashes: ids(2, 3, 4), medium: 'CPU' });
    expect(reach()).toEqual([1, 0]);
    // The device has no blocks behind one that it lacks.
    feed.applyEngineEvent({ ...tail, parentHash: 9n });
    expect([reach(), applied.at(-1)]).toEqual([[1, 0], 'stored parent_block_not_found']);
    expect(feed.flaw).toMatch(/parent is not known/);
  });

  test('lets go of such blocks when they are removed, copy by copy, or the rank is cleared', () => {
    const { feed, index } = makeFeed();
    const onHost = (event: KvEvent): void => feed.apply({ ...event, tier: 'host_pinned' } as KvEvent);
    onHost(store(1, 2));
    onHost(store(1, 2));
    onHost(store(2, 3));
    onHost(remove(2));
    feed.apply(store(undefined, 1));
    expect(held(index)).toEqual([1n, 2n, 3n]);
    onHost(remove(2));
    feed.apply(remove(1));
    expect(held(index)).toEqual([3n]);
    onHost(store(1, 2));
    feed.apply({ kind: 'cleared' });
    feed.apply(store(undefined, 1));
    expect(held(index)).toEqual([1n]);
  });

  test('forgets what blocks were when the rank is cleared', () => {
    const { feed, index, rejected } = makeFeed();
    const onHost = { ...told, blockHashes: ids(1), tokenIds: tokens(0), medium: 'CPU' };
    feed.applyEngineEvent({ ...told, blockHashes: ids(1), tokenIds: tokens(4) });
    feed.applyEngineEvent(onHost);
    feed.clear();
    feed.applyEngineEvent(onHost);
    expect(held(index)).toEqual([]);
    expect(rejected).toEqual(['unknown_block']);
  });

  test('counts copies as an engine does that keeps its prefixes closed', () => {
    // Requests over two chains that share a stem; each copy of a block is released once.
    const chains = [
      [1, 2, 3, 4],
      [1, 2, 30, 40],
    ];
    const step = fc.record({
      chain: fc.nat(1),
      length: fc.integer({ min: 1, max: 4 }),
      release: fc.boolean(),
    });
    const tier = fc.constantFrom<StorageTier>('device', 'host_pinned');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), tier, (steps, where) => {
        const { feed, index } = makeFeed();
        const requests: number[][] = [];
        for (const { chain, length, release } of steps) {
          if (release) {
            // Tail first, as engines do.
            const blocks = requests.shift();
            if (blocks !== undefined)
              feed.apply({ ...remove(...blocks.toReversed()), tier: where } as KvEvent);
          } else {
            const blocks = chains[chain]!.slice(0, length);
            requests.push(blocks);
            feed.apply({ ...store(undefined, ...blocks), tier: where } as KvEvent);
          }
          const expected = new Set(requests.flat().map(BigInt));
          expect(held(index)).toEqual([...expected].sort((a, b) => Number(a - b)));
        }
      }),
    );
  });
});
