import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../base/random.ts';
import { CandidateTable } from './candidate-table.ts';
import {
  DEFAULT_KV_WEIGHTS,
  effectiveOverlap,
  type KvWeights,
  kvCosts,
  legacyOverlapWeight,
  taintFactor,
  weighOverlaps,
} from './kv-cost.ts';
import { lowest, pickBySample, softmaxOfCosts } from './sampling.ts';

interface GoldenCost {
  readonly name: string;
  readonly logit: number;
  readonly input: Readonly<Record<string, number | boolean | string>>;
}

const golden = JSON.parse(readFileSync(new URL('../../../test/golden/router.json', import.meta.url), 'utf8'));

function tableOf(...inputs: readonly GoldenCost['input'][]): CandidateTable {
  const table = new CandidateTable();
  table.begin(inputs.length);
  for (const [row, input] of inputs.entries()) writeRow(table, row, input);
  return table;
}

function writeRow(table: CandidateTable, row: number, input: GoldenCost['input']): void {
  const number = (name: string): number => Number(input[name] ?? 0);
  table.rank[row] = row;
  table.hasLoad[row] = input.has_load === false ? 0 : 1;
  table.prefillTokens[row] = number('active_prefill');
  table.activeBlocks[row] = number('decode');
  table.activeRequests[row] = number('req');
  table.additionalBlocks[row] = number('additional');
  table.setOverlap(row, number('device'), number('host'), number('disk'), number('external'));
  table.cachedTokens[row] = number('cached');
  table.sharedBeyond[row] = number('shared');
}

function weightsOf(input: GoldenCost['input']): KvWeights {
  return {
    ...DEFAULT_KV_WEIGHTS,
    prefillLoadScale: Number(input.scale ?? 1),
    overlapScoreCreditDecay: Number(input.D ?? 0),
    decodeActiveRequestWeight: Number(input.Wreq ?? 0),
    sharedCacheMultiplier: Number(input.sharedM ?? 0),
    trackPrefillTokens: input.track !== false,
    decodeOnly: input.worker_type === 'decode',
  };
}

describe('the KV cost', () => {
  test.each(golden.cost as GoldenCost[])('is $logit for $name', ({ input, logit }) => {
    // The second row is the least loaded rank, against which backlogs are measured.
    const table = tableOf(input, {});
    const costs = new Float64Array(2);
    kvCosts(Number(input.isl), Number(input.bs ?? 16), weightsOf(input), table, costs);
    expect(costs[0]).toBeCloseTo(logit, 12);
  });

  test('is multiplied by the taint factor', () => {
    const table = tableOf({});
    table.taintFactor[0] = taintFactor(1);
    const costs = new Float64Array(1);
    kvCosts(160, 16, DEFAULT_KV_WEIGHTS, table, costs);
    expect(costs[0]).toBe(10 * taintFactor(1));
  });

  test.each(golden.taint_multiplier as { sum_weights: number; multiplier: number }[])(
    'has the factor $multiplier for taints that weigh $sum_weights',
    ({ sum_weights, multiplier }) => expect(taintFactor(sum_weights)).toBeCloseTo(multiplier, 14),
  );

  test('takes the legacy overlap weight as prefill scale, and 0 as no index', () => {
    expect(legacyOverlapWeight(2)).toEqual({ prefillLoadScale: 2 });
    expect(legacyOverlapWeight(0)).toEqual({ prefillLoadScale: 0, overlapScoreCredit: 0 });
  });

  test.each(
    golden.effective_overlap as {
      device: number;
      host: number;
      disk: number;
      block_size: number;
      effective: number;
      cached_tokens: number;
    }[],
  )('weighs $device + $host + $disk blocks as $effective', (vector) => {
    const table = tableOf({ device: vector.device, host: vector.host, disk: vector.disk });
    expect(effectiveOverlap(DEFAULT_KV_WEIGHTS, table, 0)).toBe(vector.effective);
    weighOverlaps(DEFAULT_KV_WEIGHTS, table, vector.block_size);
    expect(table.cachedTokens[0]).toBe(vector.cached_tokens);
  });

  test('counts only shared hits beyond the device', () => {
    const table = tableOf({ device: 3 }, { device: 9 });
    weighOverlaps(DEFAULT_KV_WEIGHTS, table, 16, 5);
    expect([...table.sharedBeyond.slice(0, 2)]).toEqual([2, 0]);
  });
});

interface GoldenSoftmax {
  readonly costs: readonly number[];
  readonly temperature: number;
  readonly probabilities: readonly number[];
  readonly picks: readonly { readonly sample: number; readonly index: number }[];
}

describe('softmax of costs', () => {
  test.each(golden.softmax as GoldenSoftmax[])('of $costs at $temperature', (vector) => {
    const costs = Float64Array.from(vector.costs);
    const probabilities = new Float64Array(costs.length);
    softmaxOfCosts(costs, costs.length, vector.temperature, probabilities);
    for (const [i, p] of probabilities.entries()) expect(p).toBeCloseTo(vector.probabilities[i]!, 14);
    for (const { sample, index } of vector.picks)
      expect(pickBySample(probabilities, costs.length, sample)).toBe(index);
  });

  test('stays finite when the range of the costs is not', () => {
    const costs = Float64Array.of(-Number.MAX_VALUE, Number.MAX_VALUE);
    const probabilities = new Float64Array(2);
    softmaxOfCosts(costs, 2, 1, probabilities);
    const e = Math.exp(-1);
    expect(probabilities[0]).toBeCloseTo(1 / (1 + e), 12);
    expect(probabilities[1]).toBeCloseTo(e / (1 + e), 12);
  });

  test('takes the last index when rounding leaves the sum below the sample', () => {
    expect(pickBySample(Float64Array.of(0.1, 0.1), 2, 0.9)).toBe(1);
  });
});

describe('the lowest cost', () => {
  test('is unique without a draw', () => {
    const untouched = new SeededRandom(5);
    expect(lowest(Float64Array.of(3, 1, 2), 3, untouched, new Float64Array(3))).toBe(1);
    expect(untouched.nextU32()).toBe(new SeededRandom(5).nextU32());
  });

  test('looks at the first rows only', () => {
    expect(lowest(Float64Array.of(3, 2, 0), 2, new SeededRandom(1), new Float64Array(3))).toBe(1);
  });
});
