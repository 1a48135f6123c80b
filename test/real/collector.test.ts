import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collect } from '../../src/collector/collector.ts';
import { DEFAULT_DYNAMO_METRICS } from '../../src/collector/config.ts';
import { collectNat } from '../../src/collector/nat-collector.ts';
import { HttpClient } from '../../src/transport/http-client.ts';
import { type PrometheusApi, prometheusApi } from '../../src/transport/prometheus-api.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { Prometheus } from '../support/prometheus.ts';
import { openMetricsPast } from '../support/promtool-series.ts';
import { realPart } from '../support/real-part.ts';

const golden = JSON.parse(
  readFileSync(new URL('../golden/thompson/collector.json', import.meta.url), 'utf8'),
);
const { scenario, ground_truth_for_a_better_collector: truth } = golden;
const config = { ...DEFAULT_DYNAMO_METRICS, enable: true, ...scenario.config };
const DEADLINE_MS = 20_000;

describe.skipIf(realPart('prometheus').skip)('collecting from a real Prometheus', () => {
  const client = new HttpClient();
  let prometheus: Prometheus;
  let api: PrometheusApi;

  beforeAll(async () => {
    const down = { series: 'up{job="dynamo-worker",instance="w:18081"}', values: '1x10 0x3 1x45' };
    const past = openMetricsPast([...scenario.series, down], scenario.t0, scenario.sample_interval_s);
    prometheus = await Prometheus.start({ targets: [], past });
    api = prometheusApi(client, `${prometheus.url}/`, DEADLINE_MS);
  });

  afterAll(async () => {
    await client.stop();
    await prometheus?.stop();
  });

  const now = () => Date.now() / 1000;

  test('by the reference’s rules gives the reference’s result', async () => {
    const result = await collectNat(config, { api, nowS: now });
    const { prometheus_url: _url, errors, ...expected } = golden.expected_reference;
    expect(result.errors).toEqual(errors);
    expect(result.prometheus_url).toBe(prometheus.url);
    for (const [field, value] of Object.entries(expected))
      if (typeof value === 'number') expect(result[field as 'ttft_p50']).toBeCloseTo(value, 9);
      else expect([field, result[field as 'ttft_p50']]).toEqual([field, null]);
  });

  test('by default gives the truth', async () => {
    const result = await collect(config, { api, nowS: now, deadlineMs: DEADLINE_MS });
    expect(result.faults).toEqual([]);
    expect(result).toMatchObject({
      token_throughput: truth.token_throughput,
      requests_per_minute: truth.requests_per_minute,
      inflight_requests_worker: truth.inflight_requests_worker_sum,
      sglang_gen_throughput: truth.sglang_gen_throughput_sum,
      queued_requests: truth.queued_requests,
      sglang_utilization: truth.sglang_utilization,
      kve_device_blocks_rate: truth.kve_device_blocks_rate,
      kve_host_blocks_rate: null,
      kv_cache_usage_percent: null,
    });
    expect(result.thompson_routing_decisions_rate).toBeCloseTo(truth.thompson_routing_decisions_rate_sum, 12);
    expect(result.kve.source).toBe('processor');
    expect(result.core.kv_efficiency).toBeCloseTo(truth.kv_efficiency, 12);
    expect(result.ttft_p95).toBeCloseTo(1, 12);
    expect(result.itl_p50).toBeCloseTo(0.009, 12);
    expect(result.itl_p95).toBeCloseTo(0.0375, 12);
    const by = (field: 'inflight_requests_worker' | 'thompson_routing_decisions_rate', label: string) =>
      Object.fromEntries(result.breakdown[field]!.map(({ labels, value }) => [labels[label], value]));
    expect(by('inflight_requests_worker', 'instance')).toEqual(truth.inflight_requests_worker_by_instance);
    expect(by('thompson_routing_decisions_rate', 'worker_id')).toEqual(
      truth.thompson_routing_decisions_rate_by_worker,
    );
    expect(result.scrape_gaps).toEqual([
      { job: 'dynamo-worker', instance: 'w:18081', from: 1_700_000_055, to: 1_700_000_075, reason: 'down' },
    ]);
  });

  test('evaluates metrics of one’s own over the window, and types what fails', async () => {
    const custom = [
      { name: 'tokens', promql: 'max_over_time(dynamo_frontend_output_tokens_total[{range}])' },
      { name: 'wrong', promql: 'rate(' },
    ];
    const result = await collect(config, { api, nowS: now, deadlineMs: DEADLINE_MS, custom });
    expect(result.custom.tokens?.value).toBe(9600);
    expect(result.faults.map(({ metric, code }) => [metric, code])).toEqual([
      ['wrong', 'KV_PROMETHEUS_REFUSED'],
    ]);
    expect(result.token_throughput).toBe(80);
  });

  test('keeps to its model', async () => {
    const options = { api, nowS: now, deadlineMs: DEADLINE_MS };
    expect((await collect(config, { ...options, model: 'other' })).token_throughput).toBeNull();
    expect((await collect(config, { ...options, model: 'M' })).token_throughput).toBe(80);
  });

  test('works from the command line', async () => {
    const window = ['--workflow-start-timestamp', '1700000030', '--workflow-end-timestamp', '1700000150'];
    const kvasir = new KvasirProcess(['collect', '--prometheus-url', prometheus.url, ...window]);
    expect(await kvasir.json()).toMatchObject({ token_throughput: 80, kve: { source: 'processor' } });
  });
});

test('a Prometheus that is not there fails every metric by name', async () => {
  const client = new HttpClient();
  const api = prometheusApi(client, 'http://127.0.0.1:9', 1000);
  const result = await collect(config, { api, nowS: () => 1_700_000_200, deadlineMs: 5000 });
  await client.stop();
  expect(new Set(result.faults.map(({ code }) => code))).toEqual(new Set(['KV_PROMETHEUS_UNREACHABLE']));
  expect(result.faults.length).toBe(27);
});
