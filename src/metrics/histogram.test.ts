import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BucketIndex } from './bucket-index.ts';
import { exponentialBuckets, linearBuckets, logBuckets } from './buckets.ts';
import { Histogram } from './histogram.ts';

const LISTS = [
  [],
  [0],
  [-5, -1, 0, 1],
  logBuckets(0.001, 480, 18),
  logBuckets(0.0001, 1, 512),
  linearBuckets(0, 0.05, 21),
  exponentialBuckets(0.0001, 2, 18),
  [5e-324, 1e-310, 1, 1.0000000000000002, 1e308],
];
const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: 0, max: 500, noNaN: true }),
);

describe('a bucket index', () => {
  test('finds what a walk over the bounds finds, at the bounds themselves too', () => {
    fc.assert(
      fc.property(fc.constantFrom(...LISTS), fc.array(value), (bounds, values) => {
        const index = new BucketIndex(bounds);
        for (const each of [...values, ...bounds, ...bounds.map((bound) => bound * (1 + Number.EPSILON))]) {
          const walked = bounds.findIndex((bound) => each <= bound);
          expect(index.find(each)).toBe(walked < 0 ? bounds.length : walked);
        }
      }),
    );
  });
});

describe('a histogram', () => {
  test('merges equal observations into one increment', () => {
    const ledger = { dropped: 0 };
    const merged = new Histogram(new BucketIndex([1, 2]), ledger);
    const single = new Histogram(new BucketIndex([1, 2]), ledger);
    merged.observe(1.5, 4);
    for (let i = 0; i < 4; i++) single.observe(1.5);
    expect([...merged.cells]).toEqual([0, 4, 0, 6]);
    expect([...merged.cells]).toEqual([...single.cells]);
    expect([merged.count, merged.sum]).toEqual([4, 6]);
  });

  test('puts a value equal to a bound into its bucket and one above the last beside it', () => {
    const histogram = new Histogram(new BucketIndex([1, 2]), { dropped: 0 });
    for (const each of [0, 1, 2, 2.1]) histogram.observe(each);
    expect([...histogram.cells]).toEqual([2, 1, 1, 5.1]);
  });

  test('drops and counts what is not finite', () => {
    const ledger = { dropped: 0 };
    const histogram = new Histogram(new BucketIndex([1]), ledger);
    for (const each of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      histogram.observe(each);
      histogram.observeTraced(each, 1, 't', 0);
    }
    expect([histogram.count, ledger.dropped, histogram.exemplars]).toEqual([0, 6, undefined]);
  });

  test('keeps the latest exemplar of each bucket', () => {
    const histogram = new Histogram(new BucketIndex([1]), { dropped: 0 });
    histogram.observeTraced(0.5, 1, 'a', 1);
    histogram.observeTraced(0.6, 1, 'b', 2);
    histogram.observeTraced(7, 1, 'c', 3);
    expect(histogram.exemplars).toEqual([
      { traceId: 'b', value: 0.6, timestampS: 2 },
      { traceId: 'c', value: 7, timestampS: 3 },
    ]);
  });
});
