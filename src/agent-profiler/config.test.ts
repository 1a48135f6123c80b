import { describe, expect, test } from 'vitest';
import { ALL_ANALYSES, absoluteSupport, coreMetricsOnly, readProfilerConfig } from './config.ts';
import { roundHalfEven } from './trie/sensitivity.ts';

describe('the profiler’s configuration', () => {
  test('has the reference’s defaults', () => {
    const config = readProfilerConfig({}, 'kvasir');
    expect(config).toMatchObject({
      base_metrics: false,
      prompt_caching_prefixes: { enable: false, min_frequency: 0.5 },
      concurrency_spike_analysis: { enable: false, spike_threshold: 1 },
      prefix_span_analysis: {
        enable: false,
        min_coverage: 0,
        max_text_len: 1000,
        top_k: 10,
        chain_with_common_prefixes: false,
      },
      prediction_trie: {
        output_filename: 'prediction_trie.json',
        auto_sensitivity: true,
        sensitivity_scale: 5,
        w_critical: 0.5,
        w_fanout: 0.3,
        w_position: 0.2,
        w_parallel: 0,
      },
      dynamo_metrics: {
        enable: false,
        prometheus_url: 'http://localhost:9090',
        query_range: '30s',
        lookback_seconds: 0,
        workflow_start_timestamp: null,
      },
    });
    expect(config.prefix_span_analysis.min_support).toBeUndefined();
  });

  test('is found at the top, under profiler, or under eval.general.profiler', () => {
    for (const value of [
      { base_metrics: true },
      { profiler: { base_metrics: true } },
      { eval: { general: { profiler: { base_metrics: true } } } },
    ])
      expect(readProfilerConfig(value, 'kvasir').base_metrics).toBe(true);
    expect(readProfilerConfig({ eval: { general: {} } }, 'kvasir').base_metrics).toBe(false);
  });

  test('reads words and digits as the reference does, and refuses a fraction for a whole number', () => {
    const value = { base_metrics: 'yes', concurrency_spike_analysis: { spike_threshold: '3' } };
    expect(readProfilerConfig(value, 'nat')).toMatchObject({
      base_metrics: true,
      concurrency_spike_analysis: { spike_threshold: 3 },
    });
    for (const bad of [{ concurrency_spike_analysis: { spike_threshold: 2.5 } }, { prediction_trie: null }])
      for (const compat of ['kvasir', 'nat'] as const)
        expect(() => readProfilerConfig(bad, compat)).toThrow();
  });

  test.each([
    [{ base_metric: true }, 'unknown setting base_metric'],
    [{ prediction_trie: { w_critcal: 1 } }, 'prediction_trie.w_critcal'],
    [{ prompt_caching_prefixes: { min_frequency: 7 } }, 'min_frequency: 7 is not between 0 and 1'],
    [{ prediction_trie: { sensitivity_scale: 0 } }, 'sensitivity_scale: 0 is below 1'],
    [{ prediction_trie: { w_fanout: -1 } }, 'w_fanout: -1 is negative'],
    [{ prefix_span_analysis: { min_support: 2.5 } }, 'neither a share'],
    [{ dynamo_metrics: { query_range: 'banana' } }, 'query_range: "banana"'],
    [{ prediction_trie: { output_filename: '../x' } }, 'is not a file name'],
  ])('refuses %j, which the reference lets through', (value, message) => {
    expect(() => readProfilerConfig(value, 'kvasir')).toThrow(message);
    expect(() => readProfilerConfig(value, 'nat')).not.toThrow();
  });

  test('refuses a count of patterns that would be all of them', () => {
    for (const compat of ['kvasir', 'nat'] as const)
      expect(() => readProfilerConfig({ prefix_span_analysis: { top_k: -1 } }, compat)).toThrow('top_k');
  });

  test('switches everything on when there is none', () => {
    expect(ALL_ANALYSES.prediction_trie.enable && ALL_ANALYSES.token_usage_forecast).toBe(true);
    expect(coreMetricsOnly('http://p', '1m')).toMatchObject({
      enable: true,
      collect_ttft: true,
      collect_throughput: false,
      query_range: '1m',
    });
  });

  test('takes a support of 2 as a count, where the reference takes it as 200 %', () => {
    const support = (value: number | undefined, compat: 'kvasir' | 'nat') =>
      absoluteSupport(value, 6, compat, roundHalfEven);
    expect([
      support(undefined, 'nat'),
      support(2, 'kvasir'),
      support(2, 'nat'),
      support(0.5, 'nat'),
      support(0.34, 'kvasir'),
      support(0.01, 'kvasir'),
    ]).toEqual([2, 2, 12, 3, 2, 1]);
  });
});
