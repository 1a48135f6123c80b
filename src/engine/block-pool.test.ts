import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockPool } from './block-pool.ts';

/** The pool in plain arrays: blocks held by users, copies of hashes, an LRU list. */
class NaivePool {
  readonly copies = new Map<number, { hash: number | undefined; holders: number }>();
  lru: number[] = [];
  readonly total: number;

  constructor(total: number) {
    this.total = total;
  }

  get free(): number {
    return this.total - this.copies.size;
  }

  visible(): Set<number> {
    return new Set([...this.copies.values()].flatMap(({ hash }) => (hash === undefined ? [] : [hash])));
  }

  makeRoom(count: number): [number, boolean][] {
    const evicted: [number, boolean][] = [];
    while (this.free < count) {
      const slot = this.lru.shift()!;
      const { hash } = this.copies.get(slot)!;
      this.copies.delete(slot);
      evicted.push([hash!, !this.visible().has(hash!)]);
    }
    return evicted;
  }

  release(slot: number): void {
    const copy = this.copies.get(slot)!;
    copy.holders--;
    if (copy.hash === undefined) this.copies.delete(slot);
    else if (copy.holders === 0) this.lru.push(slot);
  }
}

const step = fc.record({
  action: fc.constantFrom('take', 'publish', 'hold', 'release'),
  pick: fc.nat(1000),
  hash: fc.nat(7),
});

describe('the block pool', () => {
  test('does what a naive pool does, whatever the order of operations', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 120 }), (total, steps) => {
        const pool = new BlockPool(total);
        const naive = new NaivePool(total);
        const held: number[] = [];
        for (const { action, pick, hash } of steps) {
          const slot = held[pick % Math.max(1, held.length)];
          if (action === 'take' && pool.available > 0) {
            const evicted: [number, boolean][] = [];
            pool.makeRoom(1, (each, last) => evicted.push([Number(pool.hashOf(each)), last]));
            expect(evicted).toEqual(naive.makeRoom(1));
            const taken = pool.take();
            naive.copies.set(taken, { hash: undefined, holders: 1 });
            held.push(taken);
          } else if (
            action === 'publish' &&
            slot !== undefined &&
            naive.copies.get(slot)!.hash === undefined
          ) {
            expect(pool.publish(slot, hash, 0)).toBe(!naive.visible().has(hash));
            naive.copies.get(slot)!.hash = hash;
          } else if (action === 'hold') {
            const found = pool.find(hash, 0);
            expect(found >= 0).toBe(naive.visible().has(hash));
            if (found < 0) continue;
            const copy = naive.copies.get(found)!;
            const others = [...naive.copies.values()].filter(
              (each) => each.hash === hash && each.holders > 0,
            );
            expect(copy.hash).toBe(hash);
            expect(copy.holders > 0).toBe(others.length > 0);
            pool.hold(found);
            if (copy.holders++ === 0) naive.lru = naive.lru.filter((each) => each !== found);
            held.push(found);
          } else if (action === 'release' && slot !== undefined) {
            pool.release(slot);
            naive.release(slot);
            held.splice(held.indexOf(slot), 1);
          }
          expect(pool.use).toEqual({
            totalBlocks: total,
            usedBlocks: naive.copies.size - naive.lru.length,
            cachedBlocks: naive.lru.length,
            freeBlocks: naive.free,
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  test('keeps reservations out of what can be had', () => {
    const pool = new BlockPool(4);
    pool.reserve(3);
    expect(pool.available).toBe(1);
    pool.reserve(-3);
    expect(pool.available).toBe(4);
  });

  test('grows its tables with use, not with its size', () => {
    const pool = new BlockPool(100_000_000);
    for (let i = 0; i < 5000; i++) pool.publish(pool.take(), i, i);
    expect(pool.find(4321, 4321)).toBe(4321);
    expect(pool.find(4321, 4322)).toBe(-1);
  });
});
