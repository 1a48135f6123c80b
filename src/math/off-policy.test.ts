import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../base/random.ts';
import { weightedIndex } from './distributions.ts';
import { evaluateOffPolicy, type LoggedChoice, type OffPolicyEstimates } from './off-policy.ts';

// Two kinds of context, three actions. Rewards are the table's, give or take 1.
const REWARDS = [
  [1, 2, 6],
  [5, 3, 1],
] as const;
const LOGGING = [
  [0.6, 0.3, 0.1],
  [0.2, 0.5, 0.3],
] as const;
const TARGET = [
  [0.1, 0.2, 0.7],
  [0.8, 0.1, 0.1],
] as const;
const truth =
  REWARDS.flatMap((row, context) => row.map((reward, action) => TARGET[context]![action]! * reward)).reduce(
    (sum, part) => sum + part,
    0,
  ) / 2;

type Model = (context: number, action: number) => number;
const RIGHT: Model = (context, action) => REWARDS[context]![action]!;
const WRONG: Model = (context, action) => 4 - context - 2 * action;

function sample(
  random: SeededRandom,
  size: number,
  model: Model,
  told = LOGGING as readonly (readonly number[])[],
) {
  return Array.from({ length: size }, (): LoggedChoice => {
    const context = random.nextInt(2);
    const action = weightedIndex(random, LOGGING[context]!)!;
    return {
      logged: told[context]![action]!,
      target: TARGET[context]![action]!,
      reward: REWARDS[context]![action]! + 2 * random.next() - 1,
      predicted: model(context, action),
      expected: TARGET[context]!.reduce((sum, p, each) => sum + p * model(context, each), 0),
    };
  });
}

type Name = 'ips' | 'selfNormalised' | 'doublyRobust';
function coverage(name: Name, model: Model, runs = 400): { covered: number; bias: number; width: number } {
  const random = new SeededRandom(7);
  let covered = 0;
  let bias = 0;
  let width = 0;
  for (let run = 0; run < runs; run++) {
    const { value, halfWidth } = evaluateOffPolicy(sample(random, 500, model))![name];
    if (Math.abs(value - truth) <= halfWidth) covered++;
    bias += (value - truth) / runs;
    width += halfWidth / runs;
  }
  return { covered: covered / runs, bias, width };
}

describe('estimates of another policy', () => {
  test.each([
    ['ips', WRONG],
    ['selfNormalised', WRONG],
    ['doublyRobust', WRONG],
    ['doublyRobust', RIGHT],
  ] as const)('hold the truth in 95 of 100 intervals: %s', (name, model) => {
    const { covered, bias, width } = coverage(name, model);
    expect(covered).toBeGreaterThan(0.92);
    expect(covered).toBeLessThan(0.98);
    // 400 runs: six standard errors of their mean.
    expect(Math.abs(bias)).toBeLessThan(6 * (width / 1.96 / Math.sqrt(400)));
  });

  test('are sharper with a model that is right', () => {
    expect(coverage('doublyRobust', RIGHT, 50).width).toBeLessThan(0.5 * coverage('ips', RIGHT, 50).width);
  });

  test('survive wrong probabilities with a right model, and only there', () => {
    const even = LOGGING.map((row) => row.map(() => 1 / 3));
    const of = (model: Model): OffPolicyEstimates =>
      evaluateOffPolicy(sample(new SeededRandom(3), 20_000, model, even))!;
    expect(Math.abs(of(RIGHT).doublyRobust.value - truth)).toBeLessThan(0.05);
    expect(Math.abs(of(WRONG).doublyRobust.value - truth)).toBeGreaterThan(0.3);
    expect(Math.abs(of(RIGHT).ips.value - truth)).toBeGreaterThan(0.3);
  });

  test('of the policy that ran are the mean', () => {
    const same = sample(new SeededRandom(1), 50, RIGHT).map((each) => ({ ...each, target: each.logged }));
    const { ips, selfNormalised, effectiveSize, largestWeight } = evaluateOffPolicy(same)!;
    const average = same.reduce((sum, { reward }) => sum + reward, 0) / 50;
    expect(ips.value).toBeCloseTo(average, 12);
    expect(selfNormalised.value).toBeCloseTo(average, 12);
    expect([effectiveSize, largestWeight]).toEqual([50, 1]);
  });

  test('clip large weights, to the side of 0', () => {
    const rare = { logged: 0.01, target: 1, reward: 2, predicted: 0, expected: 0 };
    const { ips, clipped } = evaluateOffPolicy([rare, { ...rare, logged: 1 }], 10)!;
    expect([ips.value, clipped.value]).toEqual([101, 11]);
  });

  test('say what cannot be known', () => {
    expect(evaluateOffPolicy([])).toBeUndefined();
    const never = { logged: 0.5, target: 0, reward: 2, predicted: 1, expected: 1.5 };
    const { selfNormalised, doublyRobust, effectiveSize } = evaluateOffPolicy([never, never])!;
    expect(selfNormalised.value).toBeNaN();
    expect([doublyRobust.value, effectiveSize]).toEqual([1.5, 0]);
    expect(evaluateOffPolicy([never])!.ips.halfWidth).toBe(Number.POSITIVE_INFINITY);
  });
});
