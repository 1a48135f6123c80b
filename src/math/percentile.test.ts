import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ascending, percentileCdf, percentileLinear, percentileNearest } from './percentile.ts';

interface GoldenRow {
  readonly values: readonly number[];
  readonly p: number;
  readonly linear: number;
  readonly replay_nearest: number;
  readonly guidellm_cdf: number;
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../test/golden/workload/measurements.json'), 'utf8'),
) as { percentiles: readonly GoldenRow[] };

describe('percentile rules', () => {
  test.each(golden.percentiles)('p$p of $values by all three', (row) => {
    const sorted = ascending([...row.values].reverse());
    expect(percentileLinear(sorted, row.p)).toBe(row.linear);
    expect(percentileNearest(sorted, row.p)).toBe(row.replay_nearest);
    expect(percentileCdf(sorted, row.p)).toBe(row.guidellm_cdf);
  });

  test('give nothing for nothing, and the only value for one', () => {
    for (const rule of [percentileLinear, percentileNearest, percentileCdf]) {
      expect(rule([], 50)).toBeUndefined();
      expect(rule([7], 99)).toBe(7);
      expect(rule([1, 2, 3], 100)).toBe(3);
      expect(rule([1, 2, 3], 0)).toBe(1);
    }
  });

  test('count equal values as one step of the CDF', () => {
    expect(percentileCdf([1, 1, 1, 9], 75)).toBe(1);
    expect(percentileCdf([1, 1, 1, 9], 76)).toBe(9);
  });
});
