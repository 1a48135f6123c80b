import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SessionAffinity } from './affinity.ts';
import { BusyMonitor, type BusyThresholds, type LoadReport } from './busy.ts';
import { Fleet, type FleetRank, type WorkerInfo } from './fleet.ts';
import type { RequestControls } from './route-request.ts';
import { eligibleRanks, LeftOutCounts, preferredTaintWeight } from './select.ts';

function makeFleet(...infos: WorkerInfo[]): Fleet {
  const fleet = new Fleet();
  for (const info of infos) fleet.put(info);
  return fleet;
}

function eligible(fleet: Fleet, controls: RequestControls = {}, busy = new BusyMonitor({}), lora?: string) {
  const ranks: FleetRank[] = [];
  const refusal = eligibleRanks(fleet, busy, controls, lora, ranks, new LeftOutCounts());
  return refusal ?? ranks.map(({ key }) => `${key.workerId}.${key.dpRank}`);
}

/** A monitor by which the workers are overloaded. */
function overload(fleet: Fleet, ...workerIds: string[]): BusyMonitor {
  const busy = new BusyMonitor({ activePrefillTokens: 100 });
  for (const id of workerIds)
    for (const rank of fleet.worker(id)!.ranks) busy.observe(rank, { activePrefillTokens: 101 });
  return busy;
}

describe('eligible ranks', () => {
  const fleet = makeFleet(
    { workerId: 'a' },
    { workerId: 'b', dpSize: 2, taints: ['gold', 'eu'] },
    { workerId: 'c', inhibited: true },
    { workerId: 'd', dpStart: 2, dpSize: 1, loras: ['poet'], taints: ['eu'] },
  );

  test('are all ranks of workers that take requests', () => {
    expect(eligible(fleet)).toEqual(['a.0', 'b.0', 'b.1', 'd.2']);
  });

  test.each<[RequestControls, string[]]>([
    [{ allowedWorkers: new Set(['a', 'c']) }, ['a.0']],
    [{ excludedWorkers: new Set(['a']) }, ['b.0', 'b.1', 'd.2']],
    [{ dpRank: 1 }, ['b.1']],
    [{ requiredTaints: ['eu'] }, ['b.0', 'b.1', 'd.2']],
    [{ requiredTaints: ['eu', 'gold'] }, ['b.0', 'b.1']],
    [{ workerId: 'd' }, ['d.2']],
    [{ workerId: 'b', anyRank: true }, ['b.0', 'b.1']],
    [{ workerId: 'b', dpRank: 1, anyRank: true }, ['b.1']],
  ])('for %j are %j', (controls, expected) => {
    expect(eligible(fleet, controls)).toEqual(expected);
  });

  test('narrow to the replicas of an adapter, and never widen', () => {
    expect(eligible(fleet, {}, undefined, 'poet')).toEqual(['d.2']);
    expect(eligible(fleet, {}, undefined, 'unloaded')).toEqual(['a.0', 'b.0', 'b.1', 'd.2']);
    expect(eligible(fleet, { allowedWorkers: new Set(['a']) }, undefined, 'poet')).toMatchObject({
      outcome: 'no_workers',
    });
  });

  test('leave out workers of which all ranks are overloaded', () => {
    expect(eligible(fleet, {}, overload(fleet, 'a', 'b'))).toEqual(['d.2']);
    const partly = overload(fleet, 'a');
    partly.observe(fleet.worker('b')!.ranks[0]!, { activePrefillTokens: 500 });
    expect(eligible(fleet, {}, partly)).toEqual(['b.0', 'b.1', 'd.2']);
  });

  test.each<[RequestControls, string[], string, RegExp]>([
    [{ allowedWorkers: new Set(['x']) }, [], 'no_workers', /none of 4 is allowed/],
    [{ allowedWorkers: new Set(['c']) }, [], 'no_workers', /none takes new requests/],
    [{ dpRank: 7 }, [], 'no_workers', /none has data-parallel rank 7/],
    [{ requiredTaints: ['silver'] }, [], 'no_workers', /taints silver/],
    [{}, ['a', 'b', 'd'], 'all_overloaded', /all 3/],
    [{ workerId: 'a' }, ['a'], 'pinned_overloaded', /worker a/],
    [{ workerId: 'x' }, [], 'pin_not_allowed', /not known/],
    [{ workerId: 'b' }, [], 'pin_not_allowed', /2 data-parallel ranks: name the one/],
  ])('of %j with %j overloaded are none: %s', (controls, overloaded, outcome, reason) => {
    const refusal = eligible(fleet, controls, overload(fleet, ...overloaded));
    expect(refusal).toMatchObject({ kind: 'refused', outcome, reason: expect.stringMatching(reason) });
  });

  test('leave a count of those who are none, by the rule', () => {
    const leftOut = new LeftOutCounts();
    const told = (controls: RequestControls, ...overloaded: string[]) => {
      eligibleRanks(fleet, overload(fleet, ...overloaded), controls, undefined, [], leftOut);
      return leftOut.told();
    };
    const nobody = { notAllowed: 0, inhibited: 0, withoutRank: 0, withoutTaints: 0, overloaded: 0 };
    expect(told({}, 'd')).toEqual({ ...nobody, inhibited: 1, overloaded: 1 });
    expect(told({ excludedWorkers: new Set(['c']), requiredTaints: ['eu'] })).toEqual({
      ...nobody,
      notAllowed: 1,
      withoutTaints: 1,
    });
    expect(told({ dpRank: 1 })).toEqual({ ...nobody, inhibited: 1, withoutRank: 2 });
    expect(told({ workerId: 'a' })).toBeUndefined();
  });

  test('of an empty fleet are none', () => {
    expect(eligible(makeFleet())).toMatchObject({ outcome: 'no_workers', reason: 'none is registered' });
  });

  test('carry the weights of the preferred taints they have', () => {
    const weight = (id: string): number =>
      preferredTaintWeight(
        fleet.worker(id)!,
        new Map([
          ['eu', 0.5],
          ['gold', 2],
          ['us', 9],
        ]),
      );
    expect([weight('a'), weight('b'), weight('d')]).toEqual([0, 2.5, 0.5]);
  });
});

describe('the fleet', () => {
  test('keeps the ids of ranks that stay and frees those of ranks that go', () => {
    const fleet = makeFleet({ workerId: 'a', dpSize: 2 }, { workerId: 'b' });
    const id = fleet.rankOf({ workerId: 'a', dpRank: 0 })!.id;
    const change = fleet.put({ workerId: 'a', dpSize: 1, totalKvBlocks: 5 });
    expect(change.removed.map(({ key }) => key.dpRank)).toEqual([1]);
    expect(change.added).toEqual([]);
    expect(fleet.rankOf({ workerId: 'a', dpRank: 0 })!.id).toBe(id);
    expect(fleet.rank(id)!.worker.info.totalKvBlocks).toBe(5);
    expect(fleet.remove('a').map(({ id }) => id)).toEqual([id]);
    expect(fleet.rank(id)).toBeUndefined();
    expect(fleet.remove('a')).toEqual([]);
  });

  test('tells its workers in the order of their ids, whoever joined first', () => {
    const fleet = makeFleet(...['100', '9', '20'].map((workerId) => ({ workerId })));
    fleet.remove('9');
    fleet.put({ workerId: '3' });
    fleet.put({ workerId: '20', dpSize: 2 });
    expect([...fleet.workers()].map(({ info }) => info.workerId)).toEqual(['3', '20', '100']);
  });

  test('agrees with a list of workers under any changes', () => {
    const change = fc.record({
      id: fc.constantFrom('a', 'b', 'c'),
      dpStart: fc.nat(3),
      dpSize: fc.integer({ min: 1, max: 3 }),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const fleet = new Fleet();
        const model = new Map<string, number[]>();
        for (const { id, dpStart, dpSize, remove } of changes) {
          if (remove) {
            fleet.remove(id);
            model.delete(id);
          } else {
            fleet.put({ workerId: id, dpStart, dpSize });
            model.set(
              id,
              Array.from({ length: dpSize }, (_, i) => dpStart + i),
            );
          }
          const expected = [...model].flatMap(([worker, ranks]) => ranks.map((rank) => `${worker}.${rank}`));
          const interned = [...fleet.ranks.entries()];
          expect(interned.map(([, key]) => `${key.workerId}.${key.dpRank}`).sort()).toEqual(expected.sort());
          for (const [rankId, key] of interned) expect(fleet.rank(rankId)!.key).toEqual(key);
        }
      }),
    );
  });
});

describe('busy thresholds', () => {
  const watch = (thresholds: BusyThresholds, info: Partial<WorkerInfo> = {}) => {
    const fleet = makeFleet({ workerId: 'a', totalKvBlocks: 100, maxNumBatchedTokens: 1000, ...info });
    const rank = fleet.worker('a')!.ranks[0]!;
    const busy = new BusyMonitor(thresholds);
    const see = (report: LoadReport): boolean => {
      busy.observe(rank, report);
      return busy.isBusy(rank.id);
    };
    return { busy, rank, see };
  };

  test('are all off unless set', () => {
    const { see } = watch({});
    expect(see({ activeDecodeBlocks: 1e9, kvUsedBlocks: 1e9, activePrefillTokens: 1e9 })).toBe(false);
  });

  test('latch on either signal of blocks until both are back under', () => {
    const { see } = watch({ activeDecodeBlocks: 0.8 });
    expect(see({ activeDecodeBlocks: 80 })).toBe(false);
    expect(see({ activeDecodeBlocks: 81 })).toBe(true);
    expect(see({ kvUsedBlocks: 10 })).toBe(true);
    expect(see({ activeDecodeBlocks: 10, kvUsedBlocks: 90 })).toBe(true);
    expect(see({ activeDecodeBlocks: 10 })).toBe(true);
    expect(see({ kvUsedBlocks: 80 })).toBe(false);
  });

  test('take prompt tokens absolutely or against the batch, floored', () => {
    const absolute = watch({ activePrefillTokens: 500 });
    expect([absolute.see({ activePrefillTokens: 500 }), absolute.see({ activePrefillTokens: 501 })]).toEqual([
      false,
      true,
    ]);
    const share = watch({ activePrefillTokensFrac: 0.0015 });
    expect([share.see({ activePrefillTokens: 1 }), share.see({ activePrefillTokens: 2 })]).toEqual([
      false,
      true,
    ]);
    const unknown = watch({ activePrefillTokensFrac: 0.5 }, { maxNumBatchedTokens: undefined });
    expect(unknown.see({ activePrefillTokens: 5_000_000 })).toBe(false);
    expect(unknown.see({ activePrefillTokens: 5_000_001 })).toBe(true);
  });

  test('change with the next update of each rank', () => {
    const { busy, rank, see } = watch({});
    see({ activeDecodeBlocks: 90 });
    busy.setThresholds({ activeDecodeBlocks: 0.5 });
    expect(busy.isBusy(rank.id)).toBe(false);
    expect(see({})).toBe(true);
  });

  test('say nothing of a rank whose size is unknown', () => {
    const { see } = watch({ activeDecodeBlocks: 0.5 }, { totalKvBlocks: undefined });
    expect(see({ activeDecodeBlocks: 1e9 })).toBe(false);
  });
});

describe('session affinity', () => {
  const [a, b] = ['a', 'b'].map((workerId) => ({ workerId, dpRank: 0 }));
  const make = () => {
    const clock = new VirtualClock();
    return { clock, affinity: new SessionAffinity(clock, 10_000) };
  };

  test('holds while a request runs, and then for its time', () => {
    const { clock, affinity } = make();
    const lease = affinity.hold('s', a!)!;
    clock.advanceTo(60_000);
    expect(affinity.find('s')).toEqual(a);
    affinity.release(lease, 'keep');
    clock.advanceTo(69_999);
    expect(affinity.find('s')).toEqual(a);
    clock.advanceTo(70_000);
    expect(affinity.find('s')).toBeUndefined();
  });

  test('is forgotten when the request fails, but not when it has moved since', () => {
    const { affinity } = make();
    const first = affinity.hold('s', a!)!;
    const second = affinity.hold('s', b!)!;
    affinity.release(first, 'drop');
    expect(affinity.find('s')).toEqual(b);
    affinity.release(second, 'drop');
    expect(affinity.find('s')).toBeUndefined();
  });

  test('takes no id longer than 256 bytes', () => {
    const { affinity } = make();
    expect(affinity.hold('é'.repeat(128), a!)).toBeDefined();
    expect(affinity.hold('é'.repeat(129), a!)).toBeUndefined();
  });

  test('is bounded: the idle session bound first gives way, running ones never', () => {
    const { affinity } = make();
    const running = affinity.hold('running', a!);
    for (let i = 0; i < 65_535; i++) affinity.release(affinity.hold(`s${i}`, a!)!, 'keep');
    expect(affinity.size).toBe(65_536);
    expect(affinity.hold('one more', b!)).toBeDefined();
    expect(affinity.size).toBe(65_536);
    expect(affinity.find('s0')).toBeUndefined();
    expect(affinity.find('running')).toEqual(running!.binding.key);
  });

  test('reaps idle sessions as others come', () => {
    const { clock, affinity } = make();
    for (let i = 0; i < 100; i++) affinity.release(affinity.hold(`s${i}`, a!)!, 'keep');
    clock.advanceTo(10_000);
    affinity.hold('later', b!);
    expect(affinity.size).toBe(1);
  });
});
