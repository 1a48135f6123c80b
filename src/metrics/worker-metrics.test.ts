import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { MetricsProbe } from '../../test/support/metrics-probe.ts';
import { EngineGauges } from './engine-gauges.ts';
import { KvPublisherMetrics } from './kv-publisher-metrics.ts';
import { KvStatsMetrics } from './kv-stats-metrics.ts';
import { WorkHandlerMetrics } from './work-handler-metrics.ts';
import { WorkQueueMetrics } from './work-queue-metrics.ts';
import { WorkerLoadMetrics } from './worker-load-metrics.ts';

const { golden, worker_scrape } = metricsCatalogue();
const ENDPOINT = 'dynamo_component="backend",dynamo_endpoint="generate",dynamo_namespace="dynamo"';
const MODEL = 'model="M",model_name="M",worker_id="694d9d78249cbd10"';

function worker() {
  const probe = new MetricsProbe();
  const component = probe.metrics.root.namespace('dynamo').component('backend');
  const endpoint = component.endpoint('generate', { model: 'M', model_name: 'M' });
  return { probe, component, endpoint };
}

describe('a served endpoint', () => {
  test('starts at zero, its errors excepted', async () => {
    const { probe, endpoint } = worker();
    new WorkHandlerMetrics(probe.metrics, endpoint);
    const labels = `{${ENDPOINT},${MODEL}}`;
    for (const name of [
      'requests_total',
      'request_duration_seconds_count',
      'inflight_requests',
      'request_bytes_total',
      'response_bytes_total',
      'cancellation_total',
    ])
      expect(await probe.value(`dynamo_component_${name}${labels}`)).toBe(0);
    expect(await probe.series('dynamo_component_errors_total')).toEqual([]);
  });

  test('counts a request at its arrival and its time at its end', async () => {
    const { probe, endpoint } = worker();
    const handler = new WorkHandlerMetrics(probe.metrics, endpoint);
    const request = handler.arrived(120);
    const labels = `{${ENDPOINT},${MODEL}}`;
    const read = (name: string) => probe.value(`dynamo_component_${name}${labels}`);
    expect([await read('requests_total'), await read('inflight_requests')]).toEqual([1, 1]);
    probe.clock.advanceTo(1500);
    request.sending(30);
    request.sending(2);
    request.failed('generate');
    request.cancelled();
    request.cancelled();
    request.end();
    request.end();
    expect(await read('inflight_requests')).toBe(0);
    expect(await read('request_bytes_total')).toBe(120);
    expect(await read('response_bytes_total')).toBe(32);
    expect(await read('cancellation_total')).toBe(1);
    expect(await read('request_duration_seconds_sum')).toBe(1.5);
    expect(await read('request_duration_seconds_count')).toBe(1);
    const errors = `dynamo_component_errors_total{${ENDPOINT},error_type="generate",${MODEL}}`;
    expect(await probe.value(errors)).toBe(1);
  });

  test('passes what the reference’s end-to-end test asks of a worker', async () => {
    const { probe, endpoint, component } = worker();
    const handler = new WorkHandlerMetrics(probe.metrics, endpoint);
    const gauges = new EngineGauges(endpoint);
    new KvStatsMetrics(component);
    gauges.loaded(1);
    gauges.setRank(0, 12_894, 0.25);
    for (let i = 0; i < 3; i++) handler.arrived(1).end();
    probe.clock.advanceTo(10);
    const names = [...(await probe.samples())]
      .map(([series, value]) => [series.split('{')[0] ?? '', value] as const)
      .filter(([name]) => /^dynamo_component_\w+/.test(name) && !name.endsWith('_bucket'));
    expect(new Set(names.map(([name]) => name)).size).toBeGreaterThanOrEqual(7);
    const found = new Map(names);
    for (const name of worker_scrape) expect(found.has(name)).toBe(true);
    expect(found.get('dynamo_component_requests_total')).toBe(3);
    expect(found.get('dynamo_component_uptime_seconds')).toBe(0.01);
    expect(found.get('dynamo_component_gpu_cache_usage_percent')).toBe(0.25);
    expect(found.get('dynamo_component_model_load_time_seconds')).toBe(0.001);
  });
});

describe('cache statistics of a component', () => {
  const LABELS = '{dynamo_component="backend",dynamo_namespace="dynamo"}';
  const stats = (usage: number, hitRate: number, totalBlocks = 12_894, activeBlocks = 1) => ({
    activeBlocks,
    totalBlocks,
    gpuCacheUsage: usage,
    gpuPrefixCacheHitRate: hitRate,
  });

  test('are visible at zero, without a worker id', async () => {
    const { probe, component } = worker();
    new KvStatsMetrics(component);
    expect(await probe.series('dynamo_component_kvstats_')).toEqual([
      `dynamo_component_kvstats_active_blocks${LABELS}`,
      `dynamo_component_kvstats_gpu_cache_usage_percent${LABELS}`,
      `dynamo_component_kvstats_gpu_prefix_cache_hit_rate${LABELS}`,
      `dynamo_component_kvstats_total_blocks${LABELS}`,
    ]);
  });

  test('show single-precision ratios as readers of the reference see them', async () => {
    const { probe, component } = worker();
    new KvStatsMetrics(component).publish(0, stats(1 / 12_894, 0.3));
    const samples = await probe.samples();
    const [usage, hitRate] = golden.kvstats;
    expect(samples.get(`dynamo_component_kvstats_gpu_cache_usage_percent${LABELS}`)).toBe(
      usage?.gpu_cache_usage_percent,
    );
    expect(samples.get(`dynamo_component_kvstats_gpu_prefix_cache_hit_rate${LABELS}`)).toBe(
      hitRate?.gpu_prefix_cache_hit_rate,
    );
    expect(samples.get(`dynamo_component_kvstats_total_blocks${LABELS}`)).toBe(usage?.total_blocks);
    expect(String((await probe.metrics.scrape()).body)).toContain(
      `usage_percent${LABELS} 0.00007755545084364712\n`,
    );
  });

  test('sum the blocks of all ranks and weigh their ratios by blocks', async () => {
    const { probe, component } = worker();
    const metrics = new KvStatsMetrics(component, 2);
    expect(metrics.publish(0, stats(0.5, 0.25, 100, 50))).toBe(true);
    expect(metrics.publish(1, stats(1, 0.75, 300, 300))).toBe(true);
    expect(metrics.publish(2, stats(0, 0))).toBe(false);
    expect(metrics.publish(-1, stats(0, 0))).toBe(false);
    const read = async (name: string) => probe.value(`dynamo_component_kvstats_${name}${LABELS}`);
    expect([await read('active_blocks'), await read('total_blocks')]).toEqual([350, 400]);
    expect([await read('gpu_cache_usage_percent'), await read('gpu_prefix_cache_hit_rate')]).toEqual([
      0.875, 0.625,
    ]);
    metrics.removeRank(1);
    expect([await read('total_blocks'), await read('gpu_cache_usage_percent')]).toEqual([100, 0.5]);
  });

  test('are clamped to 0..1, and keep the last value when one is not finite', async () => {
    const { probe, component } = worker();
    const metrics = new KvStatsMetrics(component);
    metrics.publish(0, stats(1.5, -0.5));
    metrics.publish(0, stats(Number.NaN, Number.POSITIVE_INFINITY, Number.NaN));
    const read = async (name: string) => probe.value(`dynamo_component_kvstats_${name}${LABELS}`);
    expect([await read('gpu_cache_usage_percent'), await read('gpu_prefix_cache_hit_rate')]).toEqual([1, 0]);
    expect(await read('total_blocks')).toBe(12_894);
  });
});

test('engine gauges show every declared rank at zero and a hit rate only when there is one', async () => {
  const { probe, endpoint } = worker();
  const gauges = new EngineGauges(endpoint, 2);
  const labels = (rank: number) => `{dp_rank="${rank}",${ENDPOINT},${MODEL}}`;
  expect(await probe.value(`dynamo_component_total_blocks${labels(1)}`)).toBe(0);
  expect(await probe.series('dynamo_component_kv_cache_hit_rate')).toEqual([]);
  gauges.setRank(1, 100, 2, 0);
  gauges.setRank(5, 100, 1, 1);
  gauges.drained(250);
  gauges.cleanedUp(500);
  const samples = await probe.samples();
  expect(samples.get(`dynamo_component_gpu_cache_usage_percent${labels(1)}`)).toBe(1);
  expect(await probe.series('dynamo_component_kv_cache_hit_rate')).toEqual([
    `dynamo_component_kv_cache_hit_rate${labels(1)}`,
  ]);
  expect(samples.get(`dynamo_component_drain_time_seconds{${ENDPOINT},${MODEL}}`)).toBe(0.25);
  expect(samples.get(`dynamo_component_cleanup_time_seconds{${ENDPOINT},${MODEL}}`)).toBe(0.5);
});

test('a publisher counts what its engine dropped, per rank, and what became of each event', async () => {
  const { probe, component } = worker();
  const publisher = new KvPublisherMetrics(component);
  for (const id of [3, 4, 8, 8, 9]) publisher.eventId(0, id);
  publisher.eventId(1, 100);
  publisher.received('BlockStored', 2);
  publisher.accepted('BlockStored');
  publisher.filtered('BlockStored', 'unknown_medium');
  publisher.unconverted('BlockRemoved');
  publisher.emptyStore('BlockStored');
  const node = 'dynamo_component="backend",dynamo_namespace="dynamo"';
  const id = 'worker_id="694d9d78249cbd10"';
  const samples = await probe.samples();
  const read = (name: string, labels: string) =>
    samples.get(`dynamo_component_kv_publisher_${name}_total{${node},${labels}${id}}`);
  expect(read('engines_dropped_events', '')).toBe(3);
  expect(read('zmq_events', 'event_type="BlockStored",stage="received",')).toBe(2);
  expect(read('zmq_events', 'event_type="BlockStored",stage="accepted",')).toBe(1);
  expect(read('zmq_filtered_events', 'event_type="BlockStored",reason="unknown_medium",')).toBe(1);
  expect(read('zmq_conversion_issues', 'event_type="BlockRemoved",reason="conversion_none",')).toBe(1);
  expect(read('zmq_suspicious_events', 'event_type="BlockStored",reason="empty_store_blocks",')).toBe(1);
});

test('a worker’s door counts those it turned away', async () => {
  const { probe } = worker();
  const queue = new WorkQueueMetrics(probe.metrics.service);
  queue.set(3, 2);
  queue.rejected();
  queue.responded(20);
  const samples = await probe.samples();
  expect(samples.get('dynamo_engine_request')).toBe(3);
  expect(samples.get('dynamo_request_queue')).toBe(2);
  expect(samples.get('dynamo_rejection_request_total')).toBe(1);
  expect(samples.get('dynamo_work_handler_time_to_first_response_seconds_sum')).toBe(0.02);
});

describe('the load of workers', () => {
  const IDENTITY = { workerId: '77', dpRank: 0, workerType: 'decode' } as const;

  test('is shown from its first value on, and gone with the worker', async () => {
    const { probe } = worker();
    const load = new WorkerLoadMetrics(probe.metrics);
    const series = load.worker(IDENTITY);
    expect(await probe.series('dynamo_frontend_worker_')).toEqual([]);
    series.setLoad(12, 300);
    const blocks =
      'dynamo_frontend_worker_active_decode_blocks{dp_rank="0",worker_id="77",worker_type="decode"}';
    expect(await probe.value(blocks)).toBe(12);
    expect(await probe.series('dynamo_frontend_worker_')).toHaveLength(2);
    load.remove('77');
    expect(await probe.series('dynamo_frontend_worker_')).toEqual([]);
  });

  test('does not come back by a late write, until the worker registers again', async () => {
    const { probe } = worker();
    const load = new WorkerLoadMetrics(probe.metrics);
    const series = load.worker(IDENTITY);
    series.setLoad(1, 1);
    load.remove('77');
    series.setLoad(2, 2);
    series.setInterToken(0.1);
    load.worker(IDENTITY).setFirstToken(0.2, 10);
    expect(await probe.series('dynamo_frontend_worker_')).toEqual([]);
    load.add('77');
    load.worker(IDENTITY).setLoad(3, 4);
    expect(await probe.series('dynamo_frontend_worker_')).toHaveLength(2);
  });

  test('of a rank that has no number is shown as none, or 0 in 1.0.2', async () => {
    for (const [version, rank] of [
      ['current', 'none'],
      ['1.0.2', '0'],
    ] as const) {
      const probe = new MetricsProbe({ version });
      new WorkerLoadMetrics(probe.metrics).worker({ ...IDENTITY, dpRank: undefined }).setInterToken(1);
      expect(await probe.series('dynamo_frontend_worker_')).toEqual([
        `dynamo_frontend_worker_last_inter_token_latency_seconds{dp_rank="${rank}",worker_id="77",worker_type="decode"}`,
      ]);
    }
  });
});
