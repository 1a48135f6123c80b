import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces, TICK_S, timeOrder } from '../../../test/support/random-traces.ts';
import { slowLatencies } from '../../../test/support/slow-latencies.ts';
import { slowMean, slowPercentile } from '../../../test/support/slow-percentile.ts';
import { BaseMetricsCollector } from './base-metrics.ts';
import { Column } from './column.ts';
import {
  type ConfidenceIntervals,
  confidenceIntervals,
  mean,
  percentile,
  throughputIntervals,
} from './confidence.ts';

const seconds = fc.array(fc.nat(800), { maxLength: 40 }).map((ticks) => ticks.map((tick) => tick * TICK_S));

/** The variance as half the mean squared difference of any two values, which needs no mean. */
function slowVariance(values: readonly number[]): number {
  return slowMean(values.flatMap((a) => values.map((b) => (a - b) ** 2))) / 2;
}

function around(center: number, error: number, floor = Number.NEGATIVE_INFINITY) {
  const interval = (z: number) => [Math.max(floor, center - z * error), center + z * error] as const;
  return {
    ninetieth_interval: interval(1.645),
    ninety_fifth_interval: interval(1.96),
    ninety_ninth_interval: interval(2.576),
  };
}

function slowIntervals(values: readonly number[]): ConfidenceIntervals {
  const error = values.length === 0 ? 0 : Math.sqrt(slowVariance(values) / values.length);
  return {
    n: values.length,
    mean: slowMean(values),
    ...around(slowMean(values), error),
    p90: slowPercentile(values, 90),
    p95: slowPercentile(values, 95),
    p99: slowPercentile(values, 99),
  };
}

function slowThroughput(requests: number, windowS: number): ConfidenceIntervals {
  const counted = requests >= 2 && windowS > 0 ? requests : 0;
  const rate = counted === 0 ? 0 : counted / windowS;
  // The standard deviation of a count is its root.
  const error = counted === 0 ? 0 : Math.sqrt(counted) / windowS;
  return { n: counted, mean: rate, ...around(rate, error, 0), p90: 0, p95: 0, p99: 0 };
}

describe('statistics', () => {
  test('of a column equal a walk along its ranked values, at any percentage', () => {
    const property = fc.property(seconds, fc.integer({ min: 0, max: 100 }), (values, p) => {
      const column = new Column();
      for (const value of values) column.push(value);
      expectClose(percentile(column.ascending(), p), slowPercentile(values, p));
      expectClose(mean(column.view()), slowMean(values));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('have the intervals of the variance between any two values', () => {
    const property = fc.property(seconds, (values) => {
      expectClose(confidenceIntervals(Float64Array.from(values).sort()), slowIntervals(values));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('have the intervals of a Poisson count per window', () => {
    const property = fc.property(fc.nat(6), fc.integer({ min: -1, max: 20 }), (requests, windowS) => {
      expectClose(throughputIntervals(requests, windowS), slowThroughput(requests, windowS));
    });
    fc.assert(property, { numRuns: 200 });
  });
});

test.each(['uuid', 'last-start'] as const)(
  'run times, latencies paired by %s and throughput equal a look at all events',
  (pairing) => {
    const property = fc.property(randomTraces({ maxTraces: 4 }), (traces) => {
      const collector = new BaseMetricsCollector(pairing);
      for (const trace of traces) collector.add(trace);
      const times = traces.map(({ events }) => events.map(({ timeS }) => timeS));
      const runTimes = times.flatMap((t) => (t.length === 0 ? [] : [Math.max(...t) - Math.min(...t)]));
      const all = times.flat();
      const windowS = all.length === 0 ? 0 : Math.max(...all) - Math.min(...all);
      const latencies = traces.flatMap(({ events }) => slowLatencies(timeOrder(events), pairing));
      const metrics = collector.finish();
      expectClose(metrics.runTime, slowIntervals(runTimes));
      expectClose(metrics.llmLatency, slowIntervals(latencies));
      expectClose(metrics.throughput, slowThroughput(traces.length, windowS));
      const { p90, p95, p99 } = slowIntervals(runTimes);
      expectClose(metrics.runTimePercentiles, { p90, p95, p99 });
      expect([metrics.firstEventS, metrics.lastEventS]).toEqual(
        all.length === 0 ? [undefined, undefined] : [Math.min(...all), Math.max(...all)],
      );
    });
    fc.assert(property, { numRuns: 300 });
  },
);
