import { describe, expect, test } from 'vitest';
import { windowOf } from './collector.ts';
import { coreMetricsOnly, durationSeconds } from './config.ts';
import { bornAtZero, increase, meanInWindow, quantileOf } from './increase.ts';
import type { RawSeries } from './raw-series.ts';
import { scrapeGaps } from './scrape-gaps.ts';
import { readCustomMetrics } from './settings.ts';

const series = (samples: readonly (readonly [number, number])[], labels = {}): RawSeries => ({
  labels,
  timesS: samples.map(([at]) => at),
  values: samples.map(([, value]) => value),
});
const window = { startS: 100, endS: 200 };

describe('the increase of a counter', () => {
  test('is the value at the end minus that at the start, between samples on the line', () => {
    expect(
      increase(
        series([
          [90, 10],
          [110, 20],
          [190, 100],
          [210, 120],
        ]),
        window,
        false,
      ),
    ).toBe(95);
  });

  test('goes on over a restart', () => {
    expect(
      increase(
        series([
          [100, 50],
          [150, 70],
          [160, 5],
          [200, 15],
        ]),
        window,
        false,
      ),
    ).toBe(35);
  });

  test('starts at the first sample, or at 0 when its process is older than it', () => {
    const young = series(
      [
        [150, 7],
        [200, 10],
      ],
      { job: 'a', worker: '2' },
    );
    const old = series(
      [
        [100, 1],
        [200, 2],
      ],
      { job: 'a', worker: '1' },
    );
    expect(increase(young, window, bornAtZero([young], [])(young))).toBe(3);
    expect(increase(young, window, bornAtZero([young, old], [])(young))).toBe(10);
    const up = (first: number) => [
      series(
        [
          [100, first],
          [150, 1],
        ],
        { job: 'a' },
      ),
    ];
    expect(increase(young, window, bornAtZero([young], up(1))(young))).toBe(10);
    // Its target had not been reached before.
    expect(increase(young, window, bornAtZero([young], up(0))(young))).toBe(3);
  });

  test('is 0 for one that rests, and unknown for one that is long gone', () => {
    expect(
      increase(
        series([
          [90, 4],
          [210, 4],
        ]),
        window,
        false,
      ),
    ).toBe(0);
    expect(increase(series([[-500, 4]]), window, false)).toBeUndefined();
  });
});

test('the mean of a gauge leaves out the sample at the start', () => {
  expect(
    meanInWindow(
      series([
        [100, 9],
        [150, 1],
        [200, 3],
        [201, 50],
      ]),
      window,
    ),
  ).toBe(2);
  expect(meanInWindow(series([[99, 1]]), window)).toBeUndefined();
});

describe('a quantile', () => {
  const buckets = new Map([
    [0.1, 10],
    [1, 90],
    [Number.POSITIVE_INFINITY, 100],
  ]);
  test('lies in its bucket on the line between its bounds', () =>
    expect(quantileOf(0.5, buckets)).toBe(0.55));
  test('in the last bucket is the highest bound', () => expect(quantileOf(0.99, buckets)).toBe(1));
  test('of nothing is unknown', () =>
    expect(
      quantileOf(
        0.5,
        new Map([
          [1, 0],
          [Number.POSITIVE_INFINITY, 0],
        ]),
      ),
    ).toBeUndefined());
});

describe('gaps between scrapes', () => {
  const labels = { job: 'j', instance: 'i' };
  test('are told when twice the usual time passed, cut to the window', () => {
    const up = series(
      [
        [80, 1],
        [90, 1],
        [100, 1],
        [150, 1],
        [160, 1],
        [170, 1],
      ],
      labels,
    );
    expect(scrapeGaps([up], window)).toEqual([{ ...labels, from: 100, to: 150, reason: 'not scraped' }]);
  });
  test('are told while a target is down, as one', () => {
    const up = series(
      [
        [90, 1],
        [110, 0],
        [130, 0],
        [150, 1],
      ],
      labels,
    );
    expect(scrapeGaps([up], window)).toEqual([{ ...labels, from: 110, to: 150, reason: 'down' }]);
  });
});

describe('the window', () => {
  const config = coreMetricsOnly('http://p:9090', '2m');
  test('is the query range up to now unless something longer or given', () => {
    expect(windowOf(config, 1000)).toEqual({ startS: 880, endS: 1000 });
    expect(windowOf({ ...config, lookback_seconds: 300 }, 1000)).toEqual({ startS: 700, endS: 1000 });
    expect(windowOf({ ...config, workflow_end_timestamp: 500 }, 1000)).toEqual({ startS: 380, endS: 500 });
  });
  test.each([
    ['30s', 30],
    ['1h30m', 5400],
    ['500ms', 0.5],
    ['5', undefined],
    ['s', undefined],
  ])('reads %s as %s seconds', (text, seconds) => expect(durationSeconds(text as string)).toBe(seconds));
});

test('a metric of one’s own may hold equals signs and commas, and is named once', () => {
  expect(readCustomMetrics(['a=sum(x{l="v",m!="w"})'])).toEqual([
    { name: 'a', promql: 'sum(x{l="v",m!="w"})' },
  ]);
  expect(() => readCustomMetrics(['a=x', 'a=y'])).toThrow('named twice');
  expect(() => readCustomMetrics(['nothing'])).toThrow('is not NAME=PROMQL');
});
