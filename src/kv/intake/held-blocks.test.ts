import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import type { EngineEvent } from '../../formats/kv-events/engine-event.ts';
import { tierOfMedium } from '../../formats/kv-events/medium-tier.ts';
import { readSnapshot, snapshotBody } from '../../formats/kv-events/snapshot.ts';
import type { StorageTier } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import { NaiveIndex } from '../index/naive-index.ts';
import { HeldBlocks } from './held-blocks.ts';
import { RankFeed } from './rank-feed.ts';

const BLOCK_SIZE = 2;
const MEDIA = ['GPU', undefined, 'CPU', 'DISK'];
/** By root. */
const SALTS = [undefined, undefined, undefined, 'tenant'];

function makeFeed(): { readonly feed: RankFeed; readonly index: NaiveIndex } {
  const index = new NaiveIndex();
  const key = { workerId: '1', dpRank: 0 };
  const clock = new VirtualClock();
  const options = {
    clock,
    rank: 0,
    key,
    index,
    hasher: new BlockHasher(),
    blockSize: BLOCK_SIZE,
    observer: {},
  };
  return { index, feed: new RankFeed(options) };
}

/**
 * What an engine tells of a tree of blocks, where the n-th is followed by the 2n-th and the next, in any order and
 * several times over; `copies` is what it then has, by id and tier. Offload tiers name any block that is held or, if
 * `closed`, those alone whose parent is held too.
 */
function* randomEvents(
  seed: number,
  count: number,
  copies: Map<string, number>,
  closed = false,
): Generator<EngineEvent> {
  const random = new SeededRandom(seed);
  const change = (nodes: readonly number[], medium: string | undefined, by: number): BigUint64Array => {
    for (const node of nodes) {
      const key = `${node} ${tierOfMedium(medium)}`;
      const left = (copies.get(key) ?? 0) + by;
      if (left > 0) copies.set(key, left);
      else copies.delete(key);
    }
    return BigUint64Array.from(nodes, BigInt);
  };
  const isHeld = (node: number): boolean => [...copies.keys()].some((key) => key.startsWith(`${node} `));
  const isNamed = (node: number): boolean => isHeld(node) && (!closed || node <= 3 || isHeld(node >> 1));
  for (let i = 0; i < count; i++) {
    const medium = MEDIA[random.nextInt(MEDIA.length)];
    const where = medium === undefined ? {} : { medium };
    const path = pathTo(2 + random.nextInt(200));
    const dice = random.nextInt(100);
    if (dice === 0 && i < count / 3) {
      copies.clear();
      yield { kind: 'cleared' };
    } else if (dice < 45) {
      yield { kind: 'removed', blockHashes: change(path.slice(-2), medium, -1), ...where };
    } else if (dice < 55) {
      const blockHashes = change(path.filter(isNamed), medium, 1);
      yield {
        kind: 'stored',
        parentHash: undefined,
        tokenIds: new Uint32Array(),
        blockSize: 0,
        blockHashes,
        ...where,
      };
    } else {
      const last = path.findLastIndex(isHeld);
      const nodes = path.slice(last + 1 < path.length ? random.nextInt(2) * (last + 1) : 0);
      const [first = 0] = nodes;
      const cacheSalt = SALTS[path[0]!];
      yield {
        kind: 'stored',
        parentHash: first === path[0] ? undefined : BigInt(first >> 1),
        tokenIds: Uint32Array.from(nodes.flatMap((node) => [node, node + 1])),
        blockSize: BLOCK_SIZE,
        blockHashes: change(nodes, medium, 1),
        ...(cacheSalt !== undefined && { cacheSalt }),
        ...where,
      };
    }
  }
}

/** From one of the two roots, 2 and 3. */
function pathTo(node: number): number[] {
  return node <= 3 ? [node] : [...pathTo(node >> 1), node];
}

describe('blocks held, told again', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('make the index of who heard nothing before (seed %i)', (seed) => {
    const copies = new Map<string, number>();
    const held = new HeldBlocks();
    for (const event of randomEvents(seed, 500, copies)) held.apply(event);
    const ranks = [{ dpRank: 0, lastSeq: 7, events: [...held.events()] }];
    const [told] = readSnapshot(JSON.parse(JSON.stringify(snapshotBody(ranks))), 'http://w');
    const { feed, index } = makeFeed();
    for (const event of told!.events) feed.applyEngineEvent(event);
    expect(copies.size).toBeGreaterThan(20);
    expectCopies(feed, index, copies);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('are those of who heard everything (seed %i)', (seed) => {
    const copies = new Map<string, number>();
    const { feed, index } = makeFeed();
    for (const event of randomEvents(seed, 500, copies, true)) feed.applyEngineEvent(event);
    expect(copies.size).toBeGreaterThan(20);
    expectCopies(feed, index, copies);
  });

  test('are forgotten when they are gone, with those that were kept for them', () => {
    const held = new HeldBlocks();
    const blockHashes = BigUint64Array.of(1n, 2n, 3n);
    const tokenIds = Uint32Array.of(1, 1, 2, 2, 3, 3);
    held.apply({ kind: 'stored', parentHash: undefined, blockHashes, tokenIds, blockSize: 2, medium: 'GPU' });
    held.apply({ kind: 'removed', blockHashes: BigUint64Array.of(1n, 2n) });
    expect([...held.events()]).toEqual([
      {
        kind: 'stored',
        parentHash: undefined,
        blockHashes: BigUint64Array.of(1n, 2n),
        tokenIds: tokenIds.slice(0, 4),
        blockSize: 2,
      },
      {
        kind: 'stored',
        parentHash: 2n,
        blockHashes: BigUint64Array.of(3n),
        tokenIds: tokenIds.slice(4),
        blockSize: 2,
        medium: 'GPU',
      },
      { kind: 'removed', blockHashes: BigUint64Array.of(1n, 2n) },
    ]);
    held.apply({ kind: 'removed', blockHashes: BigUint64Array.of(3n) });
    expect([held.size, [...held.events()]]).toEqual([0, []]);
  });

  test('beyond the limit are not complete, until a clear', () => {
    const held = new HeldBlocks(1);
    const store = (hash: bigint): EngineEvent => ({
      kind: 'stored',
      parentHash: undefined,
      blockHashes: BigUint64Array.of(hash),
      tokenIds: Uint32Array.of(1, 2),
      blockSize: 2,
    });
    held.apply(store(1n));
    expect(held.complete).toBe(true);
    held.apply(store(2n));
    expect([held.complete, held.size]).toEqual([false, 1]);
    held.apply({ kind: 'cleared' });
    expect([held.complete, held.size]).toEqual([true, 0]);
  });
});

/** Copies are told one by one: the block goes with the last of them. */
function expectCopies(feed: RankFeed, index: NaiveIndex, copies: ReadonlyMap<string, number>): void {
  expect(residents(index)).toEqual([...copies.keys()].sort());
  for (const [key, times] of copies) {
    const [id, tier] = key.split(' ') as [string, StorageTier];
    for (let copy = 1; copy <= times; copy++) {
      feed.apply({ kind: 'removed', tier, blockHashes: BigUint64Array.of(BigInt(id)) });
      expect(residents(index).includes(key)).toBe(copy < times);
    }
  }
}

/** Block ids with their tier and place in the tree. */
function residents(index: NaiveIndex): string[] {
  const held = new Set<string>();
  for (const { event } of index.dump(0)) {
    if (event.kind === 'cleared') continue;
    for (const hash of event.blockHashes) {
      const tier = event.tier ?? 'device';
      if (event.kind === 'removed') held.delete(`${hash} ${tier}`);
      else held.add(`${hash} ${tier}`);
    }
  }
  return [...held].sort();
}
