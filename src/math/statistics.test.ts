import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../base/random.ts';
import { bootstrapMean, bootstrapPercentile } from './bootstrap.ts';
import { gamma, normal, weightedIndex } from './distributions.ts';
import { Fenwick } from './fenwick.ts';
import { ascending, percentileNearest } from './percentile.ts';
import { QuantileSketch } from './sketch.ts';
import { correlation, mean, percentileOf, summarize, total } from './summary.ts';

const draws = (count: number, draw: () => number): number[] => Array.from({ length: count }, draw);

describe('summary', () => {
  test('has the population deviation and linear percentiles', () => {
    const summary = summarize([4, 2, 8, 6])!;
    expect(summary).toMatchObject({ count: 4, sum: 20, mean: 5, min: 2, max: 8 });
    expect(summary.std).toBeCloseTo(Math.sqrt(5), 12);
    expect(percentileOf(summary, 50)).toBe(5);
    expect(summarize([])).toBeUndefined();
    expect(mean([])).toBeUndefined();
  });

  test('sums without losing small values among large ones', () => {
    expect(total([1e16, 1, -1e16, 1])).toBe(2);
  });

  test('correlates, or says that nothing varies', () => {
    expect(correlation([1, 2, 3], [2, 4, 6])).toBeCloseTo(1, 12);
    expect(correlation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
    expect(correlation([1, 1], [1, 2])).toBeUndefined();
  });
});

describe('bootstrap', () => {
  const random = new SeededRandom(1);
  const values = draws(400, () => normal(random, 100, 10));

  test('repeats exactly, and surrounds the estimate by about two standard errors', () => {
    const interval = bootstrapMean(values)!;
    expect(bootstrapMean(values)).toEqual(interval);
    const { mean: middle, std } = summarize(values)!;
    const error = std / Math.sqrt(400);
    expect(interval.low).toBeGreaterThan(middle - 2.5 * error);
    expect(interval.low).toBeLessThan(middle - 1.5 * error);
    expect(interval.high).toBeGreaterThan(middle + 1.5 * error);
  });

  test('of a percentile equals resampling and sorting outright', () => {
    const seed = 9;
    const interval = bootstrapPercentile(values, 90, { seed, resamples: 50, confidence: 0.9 })!;
    const source = new SeededRandom(seed);
    const sorted = ascending(values);
    const results = draws(50, () =>
      percentileOf(summarize(draws(400, () => sorted[source.nextInt(400)]!))!, 90),
    );
    expect(interval.low).toBeCloseTo(percentileOf(summarize(results)!, 5), 9);
    expect(interval.high).toBeCloseTo(percentileOf(summarize(results)!, 95), 9);
  });

  test('needs two values', () => {
    expect(bootstrapPercentile([1], 50)).toBeUndefined();
    expect(bootstrapMean([])).toBeUndefined();
  });
});

describe('sketch', () => {
  test('is within its relative error of the exact rank, whatever the values', () => {
    const positive = fc.double({ min: 1e-6, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(positive, { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 0, max: 100 }),
        (list, p) => {
          const whole = new QuantileSketch({ relativeError: 0.01 });
          const parts = [
            new QuantileSketch({ relativeError: 0.01 }),
            new QuantileSketch({ relativeError: 0.01 }),
          ];
          list.forEach((value, i) => {
            whole.add(value);
            parts[i % 2]!.add(value);
          });
          parts[0]!.merge(parts[1]!);
          const exact = percentileNearest(ascending(list), p)!;
          expect(Math.abs(whole.percentile(p)! - exact)).toBeLessThanOrEqual(exact * 0.0101);
          expect(parts[0]!.percentile(p)).toBe(whole.percentile(p));
        },
      ),
      { seed: 2 },
    );
  });

  test('stays bounded and keeps the upper quantiles', () => {
    const sketch = new QuantileSketch({ relativeError: 0.01, maxBins: 100 });
    for (let value = 1; value <= 100_000; value++) sketch.add(value);
    expect(Math.abs(sketch.percentile(99)! / 99_000 - 1)).toBeLessThan(0.0101);
    expect(sketch.count).toBe(100_000);
    expect(new QuantileSketch().percentile(50)).toBeUndefined();
  });

  test('counts zeros as zeros', () => {
    const sketch = new QuantileSketch();
    sketch.add(0, 3);
    sketch.add(5);
    expect(sketch.percentile(50)).toBe(0);
    expect(sketch.percentile(100)).toBe(5);
  });
});

describe('distributions', () => {
  const random = new SeededRandom(3);
  const moments = (values: readonly number[]) => summarize(values)!;

  test('normal and gamma have their mean and spread', () => {
    const bell = moments(draws(20_000, () => normal(random, 5, 2)));
    expect(bell.mean).toBeCloseTo(5, 1);
    expect(bell.std).toBeCloseTo(2, 1);
    for (const shape of [0.3, 1, 4]) {
      const { mean: average, std } = moments(draws(40_000, () => gamma(random, shape, 1 / shape)));
      expect(average).toBeCloseTo(1, 1);
      expect((std / average) ** 2 / (1 / shape)).toBeCloseTo(1, 0.9);
    }
  });

  test('weights decide how often an index comes', () => {
    const counts = [0, 0, 0];
    for (let i = 0; i < 9000; i++) counts[weightedIndex(random, [1, 0, 2])!]!++;
    expect(counts[1]).toBe(0);
    expect(counts[2]! / counts[0]!).toBeCloseTo(2, 0.5);
    expect(weightedIndex(random, [0, 0])).toBeUndefined();
  });
});

test('a Fenwick tree gives the sums that adding up gives', () => {
  const tree = new Fenwick(50);
  const plain = new Array<number>(50).fill(0);
  const random = new SeededRandom(4);
  for (let i = 0; i < 200; i++) {
    const index = random.nextInt(50);
    const amount = random.nextInt(9) - 4;
    tree.add(index, amount);
    plain[index]! += amount;
    const until = random.nextInt(51);
    expect(tree.before(until)).toBe(plain.slice(0, until).reduce((a, b) => a + b, 0));
  }
});
