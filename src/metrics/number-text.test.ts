import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { boundText, numberText, openMetricsBoundText, openMetricsNumberText } from './number-text.ts';

const SPOKEN: Readonly<Record<string, number>> = {
  '0.1+0.2': 0.1 + 0.2,
  '-0.0': -0,
  '+Infinity gauge': Number.POSITIVE_INFINITY,
};

describe('number text', () => {
  test.each(metricsCatalogue().golden.number_text)('of $value is $text', ({ value, text }) => {
    expect(numberText(SPOKEN[value] ?? Number(value))).toBe(text);
  });

  test('never has an exponent and reads back the same', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = numberText(value);
        expect(text).toMatch(/^-?\d+(\.\d+)?$/);
        expect(Object.is(Number(text), value)).toBe(true);
      }),
    );
  });

  test('of the last bucket bound is +Inf in both formats', () => {
    expect([boundText(Number.POSITIVE_INFINITY), openMetricsBoundText(Number.POSITIVE_INFINITY)]).toEqual([
      '+Inf',
      '+Inf',
    ]);
    expect([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(openMetricsNumberText)).toEqual([
      '+Inf',
      '-Inf',
    ]);
  });

  test.each([
    [0, '0.0'],
    [1, '1.0'],
    [0.0022, '0.0022'],
    [130_000, '130000.0'],
    [1e6, '1e+06'],
    [2.5e7, '2.5e+07'],
    [1e-5, '1e-05'],
    [0.0001, '0.0001'],
  ])('of the bound %s is canonical in OpenMetrics', (bound, text) => {
    expect(openMetricsBoundText(bound)).toBe(text);
  });
});
