import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { HandoffDesk } from './handoff-desk.ts';

function setUp(limit?: number) {
  const clock = new VirtualClock();
  const state = { expired: 0 };
  const desk = new HandoffDesk({
    clock,
    leaseMs: 1000,
    ...(limit !== undefined && { limit }),
    onExpired: () => {
      state.expired++;
    },
  });
  return { clock, desk, state };
}

describe('the KV of prompts that others fetch', () => {
  test('is given once, and until its lease is over', () => {
    const { clock, desk, state } = setUp();
    desk.offer('a', 10);
    expect([desk.take('a'), desk.take('a'), desk.take('b')]).toEqual([10, undefined, undefined]);
    desk.offer('c', 20);
    clock.advanceTo(999);
    expect(state.expired).toBe(0);
    clock.advanceTo(1000);
    expect([desk.take('c'), state.expired, desk.size]).toEqual([undefined, 1, 0]);
  });

  test('never takes more room than its limit: the oldest goes', () => {
    const { desk, state } = setUp(2);
    for (const name of ['a', 'b', 'c']) desk.offer(name, 1);
    expect([desk.take('a'), desk.take('b'), desk.take('c'), state.expired]).toEqual([undefined, 1, 1, 1]);
  });

  test('is met in any order, or not in time', async () => {
    const { clock, desk, state } = setUp();
    const settled: boolean[] = [];
    desk.offer('first', 5, (fetched) => settled.push(fetched));
    expect(await desk.meet('first')).toBe(5);
    const later = desk.meet('later');
    expect(await desk.meet('later')).toBeUndefined();
    desk.offer('later', 6, (fetched) => settled.push(fetched));
    expect(await later).toBe(6);
    const left = desk.meet('left');
    desk.leave('left');
    const alone = desk.meet('alone');
    desk.offer('unwanted', 7, (fetched) => settled.push(fetched));
    clock.advanceTo(1000);
    expect([await left, await alone, settled, state.expired]).toEqual([
      undefined,
      undefined,
      [true, true, false],
      1,
    ]);
  });

  test('goes with the engine', async () => {
    const { desk } = setUp();
    const settled: boolean[] = [];
    desk.offer('a', 1, (fetched) => settled.push(fetched));
    const waiting = desk.meet('b');
    desk.stop();
    expect([await waiting, settled, desk.take('a')]).toEqual([undefined, [false], undefined]);
  });
});
