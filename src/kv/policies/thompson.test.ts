import { expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import { makePolicy } from './make-policy.ts';
import { chooseFrom, requestOf, tableOf } from './policy.conformance.ts';
import type { Policy } from './policy.ts';

const DAY_MS = 86_400_000;
const make = (name: 'thompson' | 'thompson-reference' = 'thompson') =>
  makePolicy(name, { blockSize: 16, random: new SeededRandom(2), clock: new VirtualClock() });
const table = tableOf([{ rank: 0 }, { rank: 1 }]);
function stateOf(policy: Policy, wallMs: number): State {
  return policy.state?.(wallMs) as State;
}

interface State {
  readonly workers: Readonly<Record<string, { a: number[]; b: number[]; alpha: number; beta: number }>>;
}

/** A policy that saw the first worker answer fast and the second slowly. */
function taught() {
  const policy = make();
  policy.rankAdded?.(0, 'w/0');
  policy.rankAdded?.(1, 'v/0');
  for (let decision = 0; decision < 300; decision++) {
    const { row } = chooseFrom(policy, table, requestOf(), decision);
    const latencyMs = row === 0 ? 500 : 2500;
    policy.learn?.({ decision, rank: row, outcome: 'success', latencyMs, outputTokens: 50 });
  }
  return policy;
}

test('what was learned is saved under the workers’ names and comes back under other ranks', () => {
  const state = JSON.parse(JSON.stringify(taught().state?.(5000)));
  const next = make();
  next.rankAdded?.(0, 'v/0');
  next.rankAdded?.(1, 'w/0');
  next.restore?.(state, 5000);
  expect(next.state?.(5000)).toEqual(state);
  let fast = 0;
  for (let i = 0; i < 200; i++) fast += chooseFrom(next, table, requestOf(), i).row;
  expect(fast).toBeGreaterThan(180);
});

test('a day’s absence halves it', () => {
  const state = stateOf(taught(), 0);
  const next = make();
  next.restore?.(JSON.parse(JSON.stringify(state)), DAY_MS);
  next.rankAdded?.(5, 'w/0');
  const aged = stateOf(next, DAY_MS).workers['w/0']!;
  const fresh = state.workers['w/0']!;
  expect(aged.alpha - 1).toBeCloseTo((fresh.alpha - 1) / 2, 10);
  expect(aged.b[0]).toBeCloseTo(fresh.b[0]! / 2, 10);
  expect(aged.a[0]).toBeCloseTo((fresh.a[0]! + 1) / 2, 10);
});

test.each([
  ['nothing', {}],
  ['another version', { schema: 'kvasir.thompson', version: 99 }],
])('%s is refused as a state', (_, state) => {
  expect(() => make().restore?.(state, 0)).toThrow('the saved state of the Thompson policy cannot be used');
});

test('a state of the other rules is refused', () => {
  expect(() => make('thompson-reference').restore?.(taught().state?.(0), 0)).toThrow('rules of kvasir');
});

test('an inquiry leaves nothing to wait for', () => {
  const policy = make();
  const before = JSON.stringify(policy.state?.(0));
  const { row } = chooseFrom(policy, table, requestOf({ queryOnly: true }), 7);
  policy.learn?.({ decision: 7, rank: row, outcome: 'success', latencyMs: 1, outputTokens: 1 });
  const after = stateOf(policy, 0);
  expect(Object.values(after.workers).every(({ alpha, beta }) => alpha === 1 && beta === 1)).toBe(true);
  expect(JSON.parse(before).baselines).toEqual([]);
});
