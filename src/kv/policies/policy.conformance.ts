import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Random, SeededRandom } from '../../base/random.ts';
import { CandidateTable } from './candidate-table.ts';
import { DEFAULT_KV_WEIGHTS } from './kv-cost.ts';
import type { Policy, PolicyRequest } from './policy.ts';

export interface TestRank {
  readonly rank: number;
  readonly prefillTokens?: number;
  readonly activeBlocks?: number;
  readonly activeRequests?: number;
  readonly additionalBlocks?: number;
  readonly device?: number;
  readonly onCpu?: boolean;
  readonly residentBlocks?: number;
}

export const BLOCK_SIZE = 16;
const TRIES = 2000;

/** A table of candidates for tests; what is left out is 0. */
export function tableOf(ranks: readonly TestRank[]): CandidateTable {
  const table = new CandidateTable();
  table.begin(ranks.length);
  for (const [row, rank] of ranks.entries()) {
    table.rank[row] = rank.rank;
    table.prefillTokens[row] = rank.prefillTokens ?? 0;
    table.activeBlocks[row] = rank.activeBlocks ?? 0;
    table.activeRequests[row] = rank.activeRequests ?? 0;
    table.additionalBlocks[row] = rank.additionalBlocks ?? 0;
    table.onCpu[row] = rank.onCpu === true ? 1 : 0;
    table.setOverlap(row, rank.device ?? 0, 0, 0, 0);
    table.cachedTokens[row] = BLOCK_SIZE * (rank.device ?? 0);
    table.residentBlocks[row] = rank.residentBlocks ?? 0;
  }
  return table;
}

export function requestOf(changes: Partial<PolicyRequest> = {}): PolicyRequest {
  return { isl: 160, pinned: false, weights: DEFAULT_KV_WEIGHTS, ...changes };
}

/** The row a policy chooses, and the costs it wrote. */
export function chooseFrom(policy: Policy, table: CandidateTable, request = requestOf(), decision = 0) {
  const costs = new Float64Array(table.count).fill(Number.NaN);
  const probabilities = new Float64Array(table.count).fill(Number.NaN);
  return { row: policy.choose(request, table, costs, probabilities, decision), costs, probabilities };
}

const anyRank = fc.record({
  prefillTokens: fc.nat(10_000),
  activeBlocks: fc.nat(1000),
  activeRequests: fc.nat(20),
  additionalBlocks: fc.nat(10),
  device: fc.nat(10),
  onCpu: fc.boolean(),
  residentBlocks: fc.nat(100_000),
});
const anyRanks = fc
  .array(anyRank, { minLength: 1, maxLength: 70 })
  .map((rows) => rows.map((row, i) => ({ ...row, rank: 3 * i + 1 })));

/** What every policy keeps; run it in the test file of each. */
export function describePolicy(name: string, make: (random: Random) => Policy): void {
  describe(`${name} as a policy`, () => {
    test('carries its name', () => {
      expect(make(new SeededRandom(1)).name).toBe(name);
    });

    test('chooses one of the rows, whatever their loads', () => {
      const policy = make(new SeededRandom(1));
      fc.assert(
        fc.property(anyRanks, fc.double({ min: 0, max: 3, noNaN: true }), (ranks, temperature) => {
          const table = tableOf(ranks);
          const weights = { ...DEFAULT_KV_WEIGHTS, temperature };
          const { row } = chooseFrom(policy, table, requestOf({ pinned: ranks.length === 1, weights }));
          if (name === 'direct' && ranks.length > 1) expect(row).toBe(-1);
          else expect(row >= 0 && row < ranks.length && Number.isInteger(row)).toBe(true);
        }),
      );
    });

    test('takes the only candidate of a pinned request', () => {
      const policy = make(new SeededRandom(1));
      const table = tableOf([{ rank: 7, prefillTokens: 1e6, activeBlocks: 1e6 }]);
      for (let i = 0; i < 20; i++) expect(chooseFrom(policy, table, requestOf({ pinned: true })).row).toBe(0);
    });

    test('writes a cost for every row or for none, and never one that is not a number', () => {
      const policy = make(new SeededRandom(1));
      fc.assert(
        fc.property(anyRanks, (ranks) => {
          const { costs } = chooseFrom(policy, tableOf(ranks));
          const weighed = costs.filter((cost) => !Number.isNaN(cost)).length;
          expect([0, ranks.length]).toContain(weighed);
        }),
      );
    });

    test('tells how probable each row was, or nothing where chance has no part', () => {
      const policy = make(new SeededRandom(1));
      fc.assert(
        fc.property(anyRanks, fc.double({ min: 0, max: 3, noNaN: true }), (ranks, temperature) => {
          const weights = { ...DEFAULT_KV_WEIGHTS, temperature };
          const { row, probabilities } = chooseFrom(policy, tableOf(ranks), requestOf({ weights }));
          if (probabilities.every(Number.isNaN)) return;
          expect(probabilities.every((p) => p >= 0 && p <= 1)).toBe(true);
          expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 9);
          expect(probabilities[row]).toBeGreaterThan(0);
        }),
      );
    });

    test('chooses as often as it says', () => {
      const ranks = [0, 1, 1, 2].map((activeRequests, rank) => ({
        rank,
        activeRequests,
        activeBlocks: 4 * activeRequests,
        residentBlocks: 5,
      }));
      const table = tableOf(ranks);
      const policy = make(new SeededRandom(5));
      const counts = new Float64Array(4);
      const told = new Float64Array(4);
      const weights = { ...DEFAULT_KV_WEIGHTS, temperature: name === 'kv' ? 1 : 0 };
      for (let i = 0; i < TRIES; i++) {
        const { row, probabilities } = chooseFrom(policy, table, requestOf({ weights }), i);
        if (Number.isNaN(probabilities[0]!)) return;
        counts[row]!++;
        for (const [each, p] of probabilities.entries()) told[each]! += p;
      }
      for (const [row, count] of counts.entries())
        expect(Math.abs(count - told[row]!)).toBeLessThan(4 * Math.sqrt(TRIES / 4));
    });

    test('leaves the table as it was, but for the credits that it gives', () => {
      fc.assert(
        fc.property(anyRanks, (ranks) => {
          const table = tableOf(ranks);
          chooseFrom(make(new SeededRandom(1)), table);
          const { creditBlocks: _, ...read } = table;
          expect(read).toEqual({ ...tableOf(ranks), creditBlocks: undefined });
        }),
        { numRuns: 20 },
      );
    });

    test('repeats its choices with the same seed', () => {
      fc.assert(
        fc.property(fc.array(anyRanks, { minLength: 5, maxLength: 5 }), fc.nat(), (tables, seed) => {
          const run = () => {
            const policy = make(new SeededRandom(seed));
            return tables.map((ranks, i) => chooseFrom(policy, tableOf(ranks), requestOf(), i).row);
          };
          expect(run()).toEqual(run());
        }),
        { numRuns: 20 },
      );
    });
  });
}
