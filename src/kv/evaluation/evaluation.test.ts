import { describe, expect, test } from 'vitest';
import { type Random, SeededRandom } from '../../base/random.ts';
import { decisionObserver } from '../decision-lines.ts';
import { DecisionLog } from '../decision-log.ts';
import { DEFAULT_KV_WEIGHTS } from '../policies/kv-cost.ts';
import { makePolicy, type PolicyName } from '../policies/make-policy.ts';
import { BLOCK_SIZE, chooseFrom, requestOf, tableOf } from '../policies/policy.conformance.ts';
import { readDecisions } from './decision-history.ts';
import { PolicyJudge } from './judge-policy.ts';

const SLOWNESS = [1, 1, 3];
const WORKERS = SLOWNESS.map((_, i) => ({ key: { workerId: `w${i}`, dpRank: 0 } }));

/** A fleet whose loads come from outside, so that what another policy would have got is known. */
function runFleet(policyName: PolicyName, requests: number, random: Random) {
  const lines: string[] = [];
  const observer = decisionObserver('m/decode', BLOCK_SIZE, (line) => lines.push(line));
  const policy = makePolicy(policyName, { blockSize: BLOCK_SIZE, random });
  const log = new DecisionLog(4);
  let sum = 0;
  for (let number = 0; number < requests; number++) {
    const activeRequests = WORKERS.map(() => random.nextInt(6));
    const table = tableOf(activeRequests.map((active, rank) => ({ rank, activeRequests: active })));
    const { row, costs, probabilities } = chooseFrom(policy, table, requestOf(), number);
    if (Number.isNaN(probabilities[0]!)) probabilities.fill(0)[row] = 1;
    const latencyMs = SLOWNESS[row]! * (100 + 50 * activeRequests[row]!) * (0.8 + 0.4 * random.next());
    sum += latencyMs;
    const { key: worker } = WORKERS[row]!;
    const facts = {
      requestId: String(number),
      atWallMs: number,
      policy: policyName,
      pinnedBy: undefined,
      leftOut: undefined,
      weights: undefined,
      isl: 160,
      worker,
      rank: row,
      predicts: true,
      predictedCachedTokens: 0,
      creditedCachedTokens: 0,
      cost: undefined,
      probability: probabilities[row]!,
      expectedOutputTokens: 10,
      conversation: undefined,
    };
    const decision = log.add(facts, table, costs, probabilities, WORKERS, row);
    observer.decided?.(decision);
    observer.settled?.(decision, { outcome: 'success', latencyMs, outputTokens: 10 }, undefined);
  }
  return { lines, mean: sum / requests };
}

const OPTIONS = { measure: 'latency', weights: DEFAULT_KV_WEIGHTS, clip: 20 } as const;
const judged = (lines: readonly string[], name: PolicyName) => {
  const judge = new PolicyJudge(readDecisions(lines, 'log').decisions, OPTIONS);
  return judge.judge(makePolicy(name, { blockSize: BLOCK_SIZE, random: new SeededRandom(1) }))!;
};

describe('judging a policy by the log of another', () => {
  const logged = runFleet('random', 4000, new SeededRandom(2));

  test.each(['least-loaded', 'power-of-two', 'random'] as const)(
    'finds what %s gets when it runs',
    (name) => {
      const truth = runFleet(name, 40_000, new SeededRandom(3)).mean;
      const { ips, selfNormalised, doublyRobust, support } = judged(logged.lines, name);
      expect(support).toBeCloseTo(1, 9);
      for (const { value, halfWidth } of [ips, selfNormalised, doublyRobust]) {
        // Twice the 95 % interval: one seed must not fail by bad luck.
        expect(Math.abs(value - truth)).toBeLessThan(2 * halfWidth);
        expect(halfWidth).toBeLessThan(0.1 * truth);
      }
      expect(doublyRobust.halfWidth).toBeLessThan(ips.halfWidth);
    },
  );

  test('says where the log does not show what a policy would do', () => {
    const { lines } = runFleet('least-loaded', 500, new SeededRandom(4));
    const { support } = judged(lines, 'random');
    expect(support).toBeGreaterThan(0.3);
    expect(support).toBeLessThan(0.7);
  });
});

describe('reading a log', () => {
  const { lines } = runFleet('random', 3, new SeededRandom(5));
  const outcome = (changes: object): string => JSON.stringify({ ...JSON.parse(lines[1]!), ...changes });

  test('keeps what a decision saw', () => {
    const [first] = readDecisions(lines, 'log').decisions;
    expect(first).toMatchObject({
      policy: 'random',
      isl: 160,
      workers: ['w0/0', 'w1/0', 'w2/0'],
      outputTokens: 10,
    });
    expect(first!.probabilities).toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect(first!.table.count).toBe(3);
  });

  test('leaves out what says nothing, and says how much', () => {
    const [decision = '', , second = '', , third = ''] = lines;
    const cut = lines.at(-1)!.slice(0, 40);
    const pinned = JSON.stringify({ ...JSON.parse(third), pinned_by: 'caller' });
    const { decisions, left } = readDecisions(
      [
        decision,
        outcome({ outcome: 'failure' }),
        second,
        outcome({ number: 1, outcome: 'cancelled' }),
        pinned,
        cut,
      ],
      'log',
    );
    expect(decisions).toEqual([]);
    expect(left).toEqual({ pinned: 1, cancelled: 1, failed: 1, open: 0, broken: 1 });
    // After a restart numbers begin anew.
    expect(readDecisions([decision, decision, lines[1]!], 'log')).toMatchObject({
      decisions: { length: 1 },
      left: { open: 1 },
    });
  });

  test('refuses a file of something else', () => {
    expect(() => readDecisions(['{"a":1}', ''], 'x.jsonl')).toThrow('x.jsonl');
  });
});
