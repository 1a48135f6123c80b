import { describe, expect, test } from 'vitest';
import { expectClose, golden, goldenTraces, traceOf } from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import { BaseMetricsCollector, type Pairing } from './base-metrics.ts';
import { confidenceIntervals, percentile } from './confidence.ts';

function collect(traces: readonly Trace[], pairing: Pairing) {
  const collector = new BaseMetricsCollector(pairing);
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

describe('base metrics', () => {
  test.each(['a', 'b', 'c'] as const)(
    'equal the reference on workflow %s when paired by last start',
    (workflow) => {
      const metrics = collect(goldenTraces(workflow), 'last-start');
      const expected = golden(`${workflow}.inference_optimization.json`);
      const intervals = expected.confidence_intervals;
      expectClose(metrics.runTime, intervals.workflow_run_time_confidence_intervals);
      expectClose(metrics.llmLatency, intervals.llm_latency_confidence_intervals);
      expectClose(metrics.throughput, intervals.throughput_estimate_confidence_interval);
      expectClose(metrics.runTimePercentiles, expected.workflow_runtimes);
    },
  );

  test.each(['a', 'b', 'c'] as const)(
    'keep every parallel call of workflow %s when paired by UUID',
    (workflow) => {
      const expected = golden('improved.json')['llm_latency paired by UUID'][workflow];
      expectClose(collect(goldenTraces(workflow), 'uuid').llmLatency, expected);
    },
  );

  test('are all zero without requests', () => {
    const metrics = collect([], 'uuid');
    expect(metrics.runTime).toEqual(metrics.throughput);
    expect(metrics.runTime).toMatchObject({ n: 0, mean: 0, ninetieth_interval: [0, 0], p99: 0 });
  });

  test('pair by order when start and end carry different UUIDs, as the reference', () => {
    const traces = [
      traceOf(['LLM_START', 50, 'u1'], ['LLM_END', 55.5, 'u2']),
      traceOf(['LLM_START', 60, 'u3'], ['LLM_END', 66, 'u4']),
    ];
    expect(collect(traces, 'last-start').llmLatency.mean).toBe(5.75);
    expect(collect(traces, 'uuid').llmLatency.n).toBe(0);
  });

  test('of one value are that value', () => {
    expect(confidenceIntervals(Float64Array.of(5))).toEqual({
      n: 1,
      mean: 5,
      ninetieth_interval: [5, 5],
      ninety_fifth_interval: [5, 5],
      ninety_ninth_interval: [5, 5],
      p90: 5,
      p95: 5,
      p99: 5,
    });
  });

  test('give the interval of 1 to 5', () => {
    const {
      mean,
      ninetieth_interval: interval,
      p90,
      p95,
      p99,
    } = confidenceIntervals(Float64Array.of(1, 2, 3, 4, 5));
    expectClose(
      [mean, p90, p95, p99, ...interval],
      [3, 4.6, 4.8, 4.96, 1.959610649804603, 4.040389350195397],
    );
  });

  test('interpolate percentiles linearly', () => {
    const values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expectClose(
      [50, 90, 95].map((p) => percentile(values, p)),
      [5.5, 9.1, 9.55],
    );
  });
});
