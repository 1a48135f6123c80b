import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { JsonAnswer } from '../transport/http-client.ts';
import type { PrometheusApi } from '../transport/prometheus-api.ts';
import { coreMetricsOnly, DEFAULT_DYNAMO_METRICS } from './config.ts';
import { collectNat, natValue, natWindow } from './nat-collector.ts';
import { COLLECTED_FIELDS, COLLECTOR_QUERIES, enabledQueries } from './queries.ts';
import {
  type CoreMetrics,
  coreMetrics,
  coreSummary,
  effectiveKve,
  isComplete,
  optimizationScore,
} from './score.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/thompson/collector.json', import.meta.url), 'utf8'),
);
const NO_WINDOW = { workflow_start_timestamp: null, workflow_end_timestamp: null, lookback_seconds: 0 };

/** Recorded answers of a Prometheus, served from memory; `calls` are the paths asked, in order. */
function recorded(answer: (path: string, parameters: Readonly<Record<string, string>>) => JsonAnswer) {
  const calls: { path: string; parameters: Readonly<Record<string, string>> }[] = [];
  const api: PrometheusApi = {
    url: 'http://prometheus:9090',
    get: async (path, parameters = {}) => {
      calls.push({ path: path.replace('api/v1/', ''), parameters });
      return answer(path, parameters);
    },
  };
  return { api, calls };
}

const vector = (result: unknown): JsonAnswer => ({
  status: 200,
  body: { status: 'success', data: { resultType: 'vector', result } },
});

describe('the queries', () => {
  test('are 25, 19 of them core, in the order of the reference', () => {
    expect(COLLECTOR_QUERIES.length).toBe(25);
    expect(enabledQueries(coreMetricsOnly()).length).toBe(19);
    expect(COLLECTOR_QUERIES.map(({ field }) => field).sort()).toEqual([...COLLECTED_FIELDS].sort());
    expect(COLLECTOR_QUERIES.map(({ field }) => field).slice(0, 5)).toEqual([
      'inflight_requests_frontend',
      'inflight_requests_worker',
      'queued_requests',
      'requests_per_minute',
      'ttft_p50',
    ]);
  });

  test('are those for which the reference recorded answers', () => {
    const asked = COLLECTOR_QUERIES.map(({ promql }) => promql.replaceAll('{range}', '30s'));
    expect([...asked].sort()).toEqual(Object.keys(golden.http.range_results_by_query).sort());
  });
});

describe('the reference’s result', () => {
  test('comes out of its recorded answers, number for number', async () => {
    const { api, calls } = recorded((path, { query }) =>
      path === 'api/v1/query' ? vector([]) : vector(golden.http.range_results_by_query[query!]),
    );
    const config = { ...DEFAULT_DYNAMO_METRICS, enable: true, ...golden.scenario.config };
    const result = await collectNat(config, { api, nowS: () => 1_700_009_999 });
    const { prometheus_url: _, ...expected } = golden.expected_reference;
    const { collection_timestamp, prometheus_url, ...got } = result;
    expect(collection_timestamp).toBe(1_700_009_999);
    expect(prometheus_url).toBe('http://prometheus:9090');
    expect(Object.keys(result).length).toBe(28);
    expect(Object.keys(got)).toEqual(Object.keys(expected));
    for (const [field, value] of Object.entries(expected))
      if (typeof value === 'number') expect(got[field as 'ttft_p50']).toBeCloseTo(value, 12);
      else expect(got[field as 'ttft_p50']).toEqual(value);
    const range = calls.find(({ path }) => path === 'query_range')!.parameters;
    expect([Number(range.start), Number(range.end), range.step]).toEqual([
      golden.http.range_params.start,
      golden.http.range_params.end,
      golden.http.range_params.step,
    ]);

    const core = coreMetrics(result);
    const { to_optimization_score: score, is_complete: complete, ...rest } = golden.expected_core;
    for (const [key, value] of Object.entries(rest))
      expect(core[key as keyof CoreMetrics]).toBeCloseTo(value as number, 12);
    expect(isComplete(core)).toBe(complete);
    expect(optimizationScore(core)).toBeCloseTo(score, 12);
  });

  test.each(golden.query_cases as { case: string }[])('case: $case', async (given) => {
    const { instant, range, calls, value, raises } = given as unknown as {
      instant: { http: number; body: unknown };
      range: { http: number; body: unknown } | null;
      calls: string[];
      value: number | string | null;
      raises: string | null;
    };
    const served = recorded((path) => {
      const from = path === 'api/v1/query' ? instant : range!;
      return { status: from.http, body: from.body };
    });
    const asked = natValue('q', NO_WINDOW, { api: served.api, nowS: () => 5000 });
    if (raises !== null) await expect(asked).rejects.toThrow();
    else expect(await asked).toEqual(value === 'Infinity' ? Number.POSITIVE_INFINITY : value);
    expect(served.calls.map(({ path }) => path)).toEqual(calls);
  });

  test('names a metric that failed, and goes on with the others', async () => {
    const { api } = recorded((_, { query }) =>
      query === 'sglang:utilization' ? { status: 503, body: undefined } : vector([{ value: [1, '2'] }]),
    );
    const result = await collectNat(coreMetricsOnly(), { api, nowS: () => 1 });
    expect(result.errors).toEqual(['Failed to collect sglang_utilization: HTTP 503']);
    expect(result.ttft_p95).toBe(2);
    expect(result.token_throughput).toBeNull();
  });

  test.each(golden.window_cases as { now: number; config: object; start: number; end: number }[])(
    'has the window $start to $end for $config',
    ({ now, config, start, end }) =>
      expect(natWindow({ ...NO_WINDOW, ...config }, now)).toEqual({ startS: start, endS: end }),
  );

  test.each(golden.score_cases as Record<string, number | null>[])(
    'scores $kve, $fallback, $ttft_p95, $itl_p95',
    (given) => {
      const core: CoreMetrics = {
        kv_efficiency: given.kve!,
        kv_efficiency_fallback: given.fallback!,
        ttft_p50_seconds: null,
        ttft_p95_seconds: given.ttft_p95!,
        ttft_p99_seconds: null,
        itl_p50_seconds: null,
        itl_p95_seconds: given.itl_p95!,
        itl_p99_seconds: null,
      };
      expect(effectiveKve(core)).toBe(given.effective);
      expect(isComplete(core)).toBe(given.complete);
      expect(coreSummary(core)).toMatchObject({ kv_efficiency_source: given.source });
      if (given.score === null) expect(optimizationScore(core)).toBeNull();
      else expect(optimizationScore(core)).toBeCloseTo(given.score!, 12);
    },
  );
});
