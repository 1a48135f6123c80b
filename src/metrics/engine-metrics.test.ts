import { expect, test } from 'vitest';
import { MetricsProbe } from '../../test/support/metrics-probe.ts';
import { EventLoopMetrics, watchEventLoop } from './event-loop-metrics.ts';
import { IndexerMetrics } from './indexer-metrics.ts';
import { KvbmMetrics } from './kvbm-metrics.ts';
import { PlannerMetrics } from './planner-metrics.ts';
import { Registry } from './registry.ts';
import { ThompsonMetrics } from './thompson-metrics.ts';
import { VllmMetrics } from './vllm-metrics.ts';

test('a simulated vLLM shows its native families under raw labels', async () => {
  const probe = new MetricsProbe();
  const registry = new Registry({}, { dynamo_namespace: 'my-ns', model: 'M' });
  probe.metrics.attach(registry);
  const engine = new VllmMetrics(registry, 100).engine({
    modelName: 'M',
    engine: 0,
    blockSize: 16,
    numGpuBlocks: 500,
  });
  const labels = 'dynamo_namespace="my-ns",engine="0",model="M",model_name="M"';
  expect(
    await probe.value(
      `vllm:request_success_total{dynamo_namespace="my-ns",engine="0",finished_reason="stop",model="M",model_name="M"}`,
    ),
  ).toBe(0);
  engine.setLoad(3, 2, 0.5);
  engine.prefixLookup(100, 64);
  engine.firstToken(0.2, 100, 64);
  engine.laterTokens(0.01, 4);
  engine.preempted();
  engine.finished({
    reason: 'stop',
    promptTokens: 100,
    cachedTokens: 64,
    generationTokens: 5,
    arrivalMs: 1000,
    scheduledMs: 1100,
    firstTokenMs: 1200,
    endMs: 1600,
  });
  const samples = await probe.samples();
  const read = (name: string) => samples.get(`vllm:${name}{${labels}}`);
  expect([read('num_requests_running'), read('num_requests_waiting'), read('kv_cache_usage_perc')]).toEqual([
    3, 2, 0.5,
  ]);
  expect([read('prefix_cache_queries_total'), read('prefix_cache_hits_total')]).toEqual([100, 64]);
  expect([read('prompt_tokens_total'), read('generation_tokens_total')]).toEqual([100, 5]);
  expect([read('request_prompt_tokens_sum'), read('request_prefill_kv_computed_tokens_sum')]).toEqual([
    100, 36,
  ]);
  expect([read('e2e_request_latency_seconds_sum'), read('request_queue_time_seconds_sum')]).toEqual([
    0.6, 0.1,
  ]);
  expect([read('request_inference_time_seconds_sum'), read('request_decode_time_seconds_sum')]).toEqual([
    0.5, 0.4,
  ]);
  expect([
    read('request_prefill_time_seconds_sum'),
    read('request_time_per_output_token_seconds_sum'),
  ]).toEqual([0.1, 0.1]);
  expect([read('inter_token_latency_seconds_count'), read('time_to_first_token_seconds_count')]).toEqual([
    4, 1,
  ]);
  expect(samples.has(`vllm:request_prompt_tokens_bucket{${labels},le="100"}`)).toBe(true);
  expect(samples.has(`vllm:request_prompt_tokens_bucket{${labels},le="200"}`)).toBe(false);
  expect(await probe.series('vllm:cache_config_info')).toEqual([
    'vllm:cache_config_info{block_size="16",dynamo_namespace="my-ns",engine="0",model="M",num_gpu_blocks="500"}',
  ]);
  expect(await probe.series('vllm:spec_decode')).toEqual([]);
  engine.speculated(2, 6, 4);
  expect(await probe.value(`vllm:spec_decode_num_accepted_tokens_total{${labels}}`)).toBe(4);
});

test('the planner shows all at zero, its decisions as one of all states, and engines until they leave', async () => {
  const probe = new MetricsProbe();
  const planner = new PlannerMetrics(probe.metrics.service);
  expect(await probe.value('dynamo_planner_observed_ttft_ms')).toBe(0);
  planner.set({ observedTtftMs: 120, numDecodeReplicas: 3, estimatedItlMs: Number.NaN });
  planner.addGpuHours(0.5);
  planner.addGpuHours(0.25);
  planner.setLoadDecision('scale_up');
  const load = { queuedPrefillTokens: 1, queuedDecodeKvTokens: 2, inflightDecodeKvTokens: 3 };
  planner.setEngineLoads([
    { workerId: '1', dpRank: 0, ...load },
    { workerId: '2', dpRank: 0, ...load },
  ]);
  planner.setEngineLoads([{ workerId: '2', dpRank: 0, ...load }]);
  const samples = await probe.samples();
  expect(samples.get('dynamo_planner_observed_ttft_ms')).toBe(120);
  expect(samples.get('dynamo_planner_estimated_itl_ms')).toBe(0);
  expect(samples.get('dynamo_planner_gpu_hours')).toBe(0.75);
  const decisions = [...samples].filter(([name]) => name.startsWith('dynamo_planner_load_scaling_decision'));
  expect(decisions).toHaveLength(16);
  expect(decisions.filter(([, value]) => value === 1)).toEqual([
    ['dynamo_planner_load_scaling_decision{dynamo_planner_load_scaling_decision="scale_up"}', 1],
  ]);
  expect(await probe.series('dynamo_planner_engine_queued_prefill_tokens')).toEqual([
    'dynamo_planner_engine_queued_prefill_tokens{dp_rank="0",worker_id="2"}',
  ]);
});

test('the block manager’s hit rates look back over the last requests only', async () => {
  const probe = new MetricsProbe();
  const kvbm = new KvbmMetrics(probe.metrics.service, 2);
  expect(await probe.value('kvbm_offload_blocks_d2h')).toBe(0);
  kvbm.add('offloadDeviceToHost', 5);
  kvbm.lookedUp('host', 0, 100);
  kvbm.lookedUp('host', 5, 10);
  kvbm.lookedUp('host', 10, 10);
  const samples = await probe.samples();
  expect(samples.get('kvbm_offload_blocks_d2h')).toBe(5);
  expect(samples.get('kvbm_host_cache_hit_rate')).toBe(0.75);
  expect(samples.get('kvbm_disk_cache_hit_rate')).toBe(0);
});

test('the Thompson processor counts a request at its entry and its efficiency from its usage', async () => {
  const probe = new MetricsProbe();
  const thompson = new ThompsonMetrics(probe.metrics);
  const request = thompson.begin();
  expect(await probe.value('dynamo_component_thompson_active_requests')).toBe(1);
  thompson.decided('12');
  thompson.routerFailed();
  thompson.engineFailed();
  probe.clock.advanceTo(1000);
  request.sent();
  probe.clock.advanceTo(4000);
  request.succeeded(100, 7, { promptTokens: 100, cachedTokens: 40, deviceBlocks: 2 });
  request.end();
  request.end();
  const samples = await probe.samples();
  const read = (name: string) => samples.get(`dynamo_component_thompson_${name}`);
  expect([read('requests_total'), read('active_requests')]).toEqual([1, 0]);
  expect([read('tokens_in_total'), read('tokens_out_total')]).toEqual([100, 7]);
  expect([read('kve_prompt_tokens_total'), read('kve_cached_tokens_total')]).toEqual([100, 40]);
  expect([read('kve_device_blocks_total'), read('kve_host_blocks_total')]).toEqual([2, 0]);
  expect(read('request_latency_seconds_sum')).toBe(3);
  expect(read('routing_decisions_total{worker_id="12"}')).toBe(1);
});

test('the indexer’s service counts requests by route and errors by class', async () => {
  const probe = new MetricsProbe();
  const indexer = new IndexerMetrics(probe.metrics.service);
  indexer.answered('/query', 'POST', 200, 2);
  indexer.answered('/query', 'POST', 404, 1);
  indexer.answered('/query', 'POST', 500, 1);
  indexer.setModels(1);
  indexer.setWorkers(4);
  indexer.setListeners('active', 4);
  const samples = await probe.samples();
  expect(samples.get('dynamo_kvindexer_requests_total{endpoint="/query",method="POST"}')).toBe(3);
  expect(samples.get('dynamo_kvindexer_errors_total{endpoint="/query",status_class="4xx"}')).toBe(1);
  expect(samples.get('dynamo_kvindexer_errors_total{endpoint="/query",status_class="5xx"}')).toBe(1);
  expect(samples.get('dynamo_kvindexer_request_duration_seconds_sum{endpoint="/query"}')).toBe(0.004);
  expect(samples.get('dynamo_kvindexer_workers')).toBe(4);
  expect(samples.get('dynamo_kvindexer_listeners{status="active"}')).toBe(4);
});

test('the event loop’s delay is what a 10 ms sleep takes beyond 10 ms, and more than 5 is a stall', async () => {
  const probe = new MetricsProbe();
  const loop = new EventLoopMetrics(probe.metrics);
  for (const elapsedMs of [9, 10, 15, 26]) loop.slept(elapsedMs);
  loop.setBusy(0.4267);
  const samples = await probe.samples();
  expect(samples.get('dynamo_frontend_event_loop_delay_seconds_sum')).toBe(0.021);
  expect(samples.get('dynamo_frontend_event_loop_delay_seconds_bucket{le="0"}')).toBe(2);
  expect(samples.get('dynamo_frontend_event_loop_stall_total')).toBe(1);
  expect(samples.get('dynamo_tokio_worker_busy_ratio{worker="0"}')).toBe(427);
  expect(samples.get('kvasir_event_loop_utilization_ratio')).toBe(0.4267);
});

test('the canary sleeps on the clock it is given until it is stopped', async () => {
  const probe = new MetricsProbe();
  const stop = watchEventLoop(new EventLoopMetrics(probe.metrics), probe.clock);
  probe.clock.advanceTo(35);
  stop();
  probe.clock.advanceTo(100);
  expect(await probe.value('dynamo_frontend_event_loop_delay_seconds_count')).toBe(3);
});

test('the canary rests while there is little to do', async () => {
  const probe = new MetricsProbe();
  let busy = true;
  const stop = watchEventLoop(new EventLoopMetrics(probe.metrics), probe.clock, () => busy);
  const sleeps = () => probe.value('dynamo_frontend_event_loop_delay_seconds_count');
  probe.clock.advanceTo(100);
  expect(await sleeps()).toBe(10);
  busy = false;
  probe.clock.advanceTo(1100);
  expect(await sleeps()).toBe(30);
  stop();
});
