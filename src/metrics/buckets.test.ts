import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import {
  bucketOverrides,
  exponentialBuckets,
  linearBuckets,
  logBuckets,
  logRule,
  oneTwoFiveBuckets,
  resolveBuckets,
  roundTwoSignificant,
} from './buckets.ts';
import { boundText } from './number-text.ts';

const { golden, bucket_lists } = metricsCatalogue();

describe('bucket builders agree with the reference', () => {
  test.each(golden.round_two_significant)('$input rounds to $output', ({ input, output }) => {
    expect(roundTwoSignificant(input)).toBe(output);
  });

  test.each(golden.log_buckets)('log($min, $max, $count)', ({ min, max, count, output }) => {
    expect(logBuckets(min, max, count)).toEqual(output);
  });

  test.each(golden.log_buckets_length_only)('log($min, $max, $count) has $length', (range) => {
    expect(logBuckets(range.min, range.max, range.count)).toHaveLength(range.length);
  });

  test.each(golden.linear_buckets)('linear($start, $width, $count) prints its odd digits', (list) => {
    expect(linearBuckets(list.start, list.width, list.count).map(boundText)).toEqual(list.le);
  });

  test.each(golden.exponential_buckets)('exponential($start, $factor, $count)', (list) => {
    expect(exponentialBuckets(list.start, list.factor, list.count)).toEqual(list.output);
  });

  test('vLLM token counts step 1, 2, 5 up to the longest context', () => {
    expect(oneTwoFiveBuckets(40_960)).toEqual(bucket_lists.vllm_1_2_5?.bounds);
    expect(oneTwoFiveBuckets(20)).toEqual([1, 2, 5, 10, 20]);
  });
});

describe('overrides from the environment', () => {
  const rule = logRule('TTFT', 0.001, 480, 18);

  test('replace the parts that are given', () => {
    const overrides = bucketOverrides({ DYN_METRICS_TTFT_MAX: '10', DYN_METRICS_TTFT_COUNT: '3' });
    expect(overrides).toEqual({ TTFT: { max: 10, count: 3 } });
    expect(resolveBuckets(rule, overrides)).toEqual([0, 0.1, 10]);
    expect(resolveBuckets(logRule('ITL', 1, 100, 2), overrides)).toEqual([0, 100]);
  });

  test.each([
    ['DYN_METRICS_TTFT_MIN', '0'],
    ['DYN_METRICS_TTFT_MIN', '500'],
    ['DYN_METRICS_TTFT_MAX', 'Infinity'],
    ['DYN_METRICS_TTFT_MAX', 'many'],
    ['DYN_METRICS_TTFT_COUNT', '0'],
    ['DYN_METRICS_TTFT_COUNT', '513'],
    ['DYN_METRICS_TTFT_COUNT', '2.5'],
  ])('fall back as a whole, with a warning, for %s=%s', (name, value) => {
    const warnings: string[] = [];
    const overrides = bucketOverrides({ DYN_METRICS_TTFT_COUNT: '5', [name]: value });
    expect(resolveBuckets(rule, overrides, (reason) => warnings.push(reason))).toEqual(
      logBuckets(0.001, 480, 18),
    );
    expect(warnings).toHaveLength(1);
  });

  test('an empty variable counts as not set', () => {
    expect(bucketOverrides({ DYN_METRICS_TTFT_MIN: '', DYN_METRICS_OTHER: '1' })).toEqual({});
  });
});
