import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SlotTracker } from './slot-tracker.ts';

const KEY = { modelName: 'm', routingGroup: 'default' };
const WORKER = { workerId: '1', dpStart: 0, dpSize: 2 };

function makeTracker() {
  const clock = new VirtualClock();
  const tracker = new SlotTracker({ clock, leaseMs: 300_000 });
  tracker.register(KEY, 16, WORKER);
  const add = (requestId: string, dpRank = 0, hashes: bigint[] = [1n, 2n], newTokens = 20) =>
    tracker.add(KEY, {
      requestId,
      workerId: '1',
      dpRank,
      sequenceHashes: BigUint64Array.from(hashes),
      newTokens,
    });
  const loads = () =>
    (tracker.loads({}) as { active_prefill_tokens: number; active_decode_blocks: number }[]).map((rank) => [
      rank.active_prefill_tokens,
      rank.active_decode_blocks,
    ]);
  return { clock, tracker, add, loads };
}

describe('the slot tracker', () => {
  test('counts shared blocks once, and what a request would add', () => {
    const { tracker, add, loads } = makeTracker();
    add('a');
    add('b', 0, [1n, 2n, 3n], 5);
    expect(loads()).toEqual([
      [25, 3],
      [0, 0],
    ]);
    const more = tracker.potentialLoads(KEY, BigUint64Array.of(1n, 2n, 4n), 7);
    expect(more.map((rank) => [rank.potential_prefill_tokens, rank.potential_decode_blocks])).toEqual([
      [32, 4],
      [7, 3],
    ]);
    tracker.prefillComplete(KEY, 'a');
    tracker.free(KEY, 'b');
    expect(loads()[0]).toEqual([0, 2]);
  });

  test('frees what showed no sign of life for five minutes', () => {
    const { clock, tracker, add, loads } = makeTracker();
    add('a');
    clock.advanceTo(200_000);
    add('b', 1);
    clock.advanceTo(450_000);
    expect(loads()).toEqual([
      [0, 0],
      [20, 2],
    ]);
    expect(() => tracker.free(KEY, 'a')).toThrow(/a is not known|unknown|no request/i);
    clock.advanceTo(700_000);
    expect(loads()[1]).toEqual([0, 0]);
    // Its id may come again.
    add('a');
  });

  test('knows nothing of workers, ranks and requests that there are not', () => {
    const { tracker, add } = makeTracker();
    add('a');
    expect(() => add('a')).toThrow(/active already/);
    expect(() => add('b', 2)).toThrow(/rank 2/);
    expect(() => tracker.register(KEY, 16, WORKER)).toThrow(/registered already/);
    expect(() => tracker.register(KEY, 32, { ...WORKER, workerId: '2' })).toThrow(/16 tokens, not 32/);
    expect(() => tracker.unregister(KEY, '9')).toThrow();
    tracker.unregister(KEY, '1');
    // The last one takes its partition along, with its block size.
    tracker.register(KEY, 32, WORKER);
    expect(() => tracker.free(KEY, 'a')).toThrow();
  });
});
