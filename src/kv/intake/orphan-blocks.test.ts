import { describe, expect, test } from 'vitest';
import type { KvStored } from '../event.ts';
import { OrphanBlocks } from './orphan-blocks.ts';

const store = (parent: bigint | undefined, ...blocks: bigint[]): KvStored => ({
  kind: 'stored',
  tier: 'disk',
  parentHash: parent,
  blockHashes: BigUint64Array.from(blocks),
  localHashes: BigUint64Array.from(blocks, (block) => 100n + block),
});

describe('blocks behind one that is nowhere', () => {
  test('are told by the block before them, once for each copy', () => {
    const orphans = new OrphanBlocks();
    orphans.add(store(1n, 2n, 3n));
    orphans.add(store(1n, 2n));
    orphans.add(store(1n, 4n));
    expect(orphans.adopted(9n)).toEqual([]);
    expect(orphans.adopted(1n)).toEqual([store(1n, 2n), store(1n, 2n), store(1n, 4n)]);
    expect(orphans.size).toBe(1);
    expect(orphans.adopted(2n)).toEqual([store(2n, 3n)]);
    expect(orphans.size).toBe(0);
  });

  test('follow the block that their latest store named', () => {
    const orphans = new OrphanBlocks();
    orphans.add(store(1n, 5n));
    orphans.add(store(2n, 5n));
    expect(orphans.adopted(1n)).toEqual([]);
    expect(orphans.adopted(2n)).toEqual([store(2n, 5n)]);
  });

  test('are removed in their own tier only', () => {
    const orphans = new OrphanBlocks();
    orphans.add(store(1n, 2n, 3n));
    expect([...orphans.remove('device', BigUint64Array.of(2n))]).toEqual([2n]);
    expect([...orphans.remove('disk', BigUint64Array.of(2n, 7n))]).toEqual([7n]);
    expect(orphans.size).toBe(1);
  });

  test('are as many as there is room for', () => {
    const orphans = new OrphanBlocks(3);
    expect(orphans.add(store(1n, 2n, 3n))).toBe(true);
    expect(orphans.add(store(1n, 4n, 5n))).toBe(false);
    expect(orphans.size).toBe(2);
    orphans.clear();
    expect(orphans.add(store(1n, 4n, 5n))).toBe(true);
  });
});
