import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { type PendingSelection, SelectionCache } from './selection-cache.ts';

const pending = (blocks = 1): PendingSelection => ({
  key: { modelName: 'm', routingGroup: 'default' },
  worker: { workerId: '1', dpRank: 0 },
  blocks: new BigUint64Array(blocks),
  isl: 16,
  newTokens: 16,
  expectedOutputTokens: undefined,
});

describe('choices that may be booked', () => {
  test('are kept for two minutes, counted from the last time they were made', () => {
    const clock = new VirtualClock();
    const cache = new SelectionCache(clock);
    cache.put('a', pending());
    cache.put('b', pending());
    clock.advanceTo(60_000);
    cache.put('b', pending(2));
    clock.advanceTo(119_999);
    expect(cache.find('a')).toBeDefined();
    clock.advanceTo(120_000);
    expect(cache.find('a')).toBeUndefined();
    expect(cache.find('b')?.blocks).toHaveLength(2);
    clock.advanceTo(180_000);
    expect(cache.find('b')).toBeUndefined();
  });

  test('leave room when others come, once they have expired', () => {
    const clock = new VirtualClock();
    const cache = new SelectionCache(clock);
    for (let i = 0; i < 10; i++) {
      cache.put(`${i}`, pending());
      clock.advanceTo(clock.nowMs() + 30_000);
    }
    // Those of the last two minutes, the one just put included.
    expect(cache.size).toBe(4);
  });

  test('are 4096 at the most, the oldest giving way', () => {
    const cache = new SelectionCache(new VirtualClock());
    for (let i = 0; i < 5000; i++) cache.put(`${i}`, pending());
    expect(cache.size).toBe(4096);
    expect(cache.find('903')).toBeUndefined();
    expect(cache.find('904')).toBeDefined();
  });

  test('take 256 MiB at the most, and what is removed takes nothing', () => {
    const cache = new SelectionCache(new VirtualClock());
    const quarter = 8 * 2 ** 20;
    for (let i = 0; i < 5; i++) cache.put(`${i}`, pending(quarter));
    expect(cache.size).toBe(4);
    expect(cache.find('0')).toBeUndefined();
    cache.remove('2');
    cache.remove('2');
    cache.put('5', pending(quarter));
    expect(['1', '3', '4', '5'].map((id) => cache.find(id) !== undefined)).toEqual([true, true, true, true]);
  });
});
