import { describe, expect, test } from 'vitest';
import { type Decision, DecisionLog, explain } from './decision-log.ts';
import { tableOf } from './policies/policy.conformance.ts';

const facts = {
  atWallMs: 0,
  policy: 'kv',
  pinnedBy: undefined,
  leftOut: undefined,
  weights: undefined,
  isl: 16,
  rank: 0,
  predicts: true,
  predictedCachedTokens: 0,
  creditedCachedTokens: 0,
  probability: 1,
  expectedOutputTokens: undefined,
  conversation: undefined,
};

function addTo(log: DecisionLog, requestId: string, workers = 2): Decision {
  const ranks = Array.from({ length: workers }, (_, i) => ({ key: { workerId: String(i), dpRank: 0 } }));
  const table = tableOf(ranks.map((_, rank) => ({ rank, device: rank, activeBlocks: 10 + rank })));
  const costs = Float64Array.from(ranks, (_, row) => workers - row);
  const chosen = { ...facts, requestId, worker: ranks[0]!.key, cost: 1 };
  const probabilities = Float64Array.from(ranks, (_, row) => (row === 1 ? 1 : 0));
  return log.add(chosen, table, costs, probabilities, ranks, 1);
}

describe('the decision log', () => {
  test('keeps the latest decisions, newest first', () => {
    const log = new DecisionLog(3);
    for (const id of ['a', 'b', 'c', 'd', 'e']) addTo(log, id);
    expect([...log.latest()].map(({ requestId, number }) => [requestId, number])).toEqual([
      ['e', 4],
      ['d', 3],
      ['c', 2],
    ]);
    expect(log.find(2)?.requestId).toBe('c');
    expect(log.find(1)).toBeUndefined();
    expect(log.find(99)).toBeUndefined();
  });

  test('explains a decision cheapest first, until a later one takes its room', () => {
    const log = new DecisionLog(2);
    const decision = addTo(log, 'a', 3);
    expect(explain(decision).map(({ worker, cost, chosen }) => [worker.workerId, cost, chosen])).toEqual([
      ['2', 1, false],
      ['1', 2, true],
      ['0', 3, false],
    ]);
    expect(explain(decision)[0]).toMatchObject({ deviceBlocks: 2, cachedTokens: 32, activeBlocks: 12 });
    addTo(log, 'b', 1);
    expect(explain(decision)).toHaveLength(3);
    addTo(log, 'c', 1);
    expect(explain(decision)).toEqual([]);
  });

  test('of size 0 keeps none, and still explains the one at hand', () => {
    const log = new DecisionLog(0);
    const decision = addTo(log, 'a');
    expect([...log.latest()]).toEqual([]);
    expect(explain(decision)).toHaveLength(2);
  });
});
