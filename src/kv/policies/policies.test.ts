import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../base/random.ts';
import { DEFAULT_KV_WEIGHTS } from './kv-cost.ts';
import { makePolicy, POLICY_NAMES, type PolicyName } from './make-policy.ts';
import {
  BLOCK_SIZE,
  chooseFrom,
  describePolicy,
  requestOf,
  type TestRank,
  tableOf,
} from './policy.conformance.ts';
import type { Policy } from './policy.ts';

const make = (name: PolicyName, seed = 1): Policy =>
  makePolicy(name, { blockSize: BLOCK_SIZE, random: new SeededRandom(seed) });
for (const name of POLICY_NAMES)
  describePolicy(name, (random) => makePolicy(name, { blockSize: BLOCK_SIZE, random }));

/** How often each row is chosen in so many tries. */
function tally(policy: Policy, ranks: readonly TestRank[], tries: number, request = requestOf()): number[] {
  const counts = ranks.map(() => 0);
  const table = tableOf(ranks);
  for (let i = 0; i < tries; i++) counts[chooseFrom(policy, table, request, i).row]!++;
  return counts;
}
const idle = [{ rank: 0 }, { rank: 1 }, { rank: 2 }];

describe('round-robin', () => {
  test('takes each candidate in turn, whatever its load', () => {
    const policy = make('round-robin');
    const table = tableOf([{ rank: 0, activeRequests: 50 }, { rank: 1 }, { rank: 2 }]);
    expect(Array.from({ length: 7 }, () => chooseFrom(policy, table).row)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });
});

describe('random', () => {
  test('spreads evenly', () => {
    for (const count of tally(make('random'), idle, 3000)) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
});

describe('power-of-two', () => {
  test('never takes the busiest of three, and half the rest each when they tie', () => {
    const ranks = [
      { rank: 0, activeRequests: 9 },
      { rank: 1, activeRequests: 2 },
      { rank: 2, activeRequests: 2 },
    ];
    const [busiest, first, second] = tally(make('power-of-two'), ranks, 3000);
    expect(busiest).toBe(0);
    expect(Math.abs(first! - second!)).toBeLessThan(200);
  });

  test('takes the least loaded of three two times out of three', () => {
    const ranks = [
      { rank: 0, activeRequests: 1 },
      { rank: 1, activeRequests: 2 },
      { rank: 2, activeRequests: 3 },
    ];
    const [least] = tally(make('power-of-two'), ranks, 3000);
    expect(Math.abs(least! - 2000)).toBeLessThan(120);
  });
});

describe('least-loaded', () => {
  test('takes the fewest requests in flight and breaks ties evenly', () => {
    const ranks = [
      { rank: 0, activeRequests: 1 },
      { rank: 1, activeRequests: 4 },
      { rank: 2, activeRequests: 1 },
    ];
    const [first, busy, last] = tally(make('least-loaded'), ranks, 2000);
    expect(busy).toBe(0);
    expect(Math.abs(first! - last!)).toBeLessThan(200);
  });
});

describe('device-aware-weighted', () => {
  const fleet = (accelerators: readonly number[], cpus: readonly number[]): TestRank[] => [
    ...accelerators.map((activeRequests, rank) => ({ rank, activeRequests })),
    ...cpus.map((activeRequests, i) => ({ rank: accelerators.length + i, activeRequests, onCpu: true })),
  ];

  test('sends work to CPUs only below their share of what accelerators have in flight', () => {
    // Budget floor(17 x 2 / (8 x 2)) = 2.
    expect(chooseFrom(make('device-aware-weighted'), tableOf(fleet([8, 9], [1, 0]))).row).toBe(3);
    expect(chooseFrom(make('device-aware-weighted'), tableOf(fleet([8, 9], [1, 1]))).row).toBe(0);
    expect(chooseFrom(make('device-aware-weighted'), tableOf(fleet([0, 0], [0, 0]))).row).toBeLessThan(2);
  });

  test('takes CPUs when there is nothing else', () => {
    expect(chooseFrom(make('device-aware-weighted'), tableOf(fleet([], [3, 1]))).row).toBe(1);
  });
});

describe('kv', () => {
  test('breaks exact ties evenly', () => {
    for (const count of tally(make('kv'), idle, 3000)) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test('at a temperature spreads as the softmax of the documented example', () => {
    const ranks = [
      { rank: 0, device: 2, activeBlocks: 10 },
      { rank: 1, device: 5, activeBlocks: 5 },
      { rank: 2, device: 8, activeBlocks: 9 },
    ];
    const request = requestOf({ weights: { ...DEFAULT_KV_WEIGHTS, temperature: 1 } });
    const counts = tally(make('kv'), ranks, 10_000, request);
    const expected = [1634.7, 4443.7, 3921.6];
    for (const [i, count] of counts.entries()) expect(Math.abs(count - expected[i]!)).toBeLessThan(150);
  });
});

describe('kv-1.0', () => {
  test('costs w (active + isl - overlap bs) / bs + decode blocks', () => {
    const ranks = [
      { rank: 0, device: 6, prefillTokens: 32, activeBlocks: 3, additionalBlocks: 4 },
      { rank: 1, device: 0, prefillTokens: 0, activeBlocks: 20 },
    ];
    const request = requestOf({ weights: { ...DEFAULT_KV_WEIGHTS, prefillLoadScale: 2 } });
    expect([...chooseFrom(make('kv-1.0'), tableOf(ranks), request).costs]).toEqual([19, 40]);
  });

  test('gives ties to the rank with the smaller tree, then to chance', () => {
    const ranks = [
      { rank: 0, residentBlocks: 50 },
      { rank: 1, residentBlocks: 20 },
      { rank: 2, residentBlocks: 20 },
      { rank: 3, activeBlocks: 1, residentBlocks: 0 },
    ];
    const [larger, first, second, dearer] = tally(make('kv-1.0'), ranks, 2000);
    expect([larger, dearer]).toEqual([0, 0]);
    expect(Math.abs(first! - second!)).toBeLessThan(200);
  });
});
