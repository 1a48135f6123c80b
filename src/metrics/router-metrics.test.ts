import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { MetricsProbe } from '../../test/support/metrics-probe.ts';
import { IndexMetrics } from './index-metrics.ts';
import { RankMetrics } from './rank-metrics.ts';
import { RouterOverheadMetrics } from './router-overhead-metrics.ts';
import { RouterQueueMetrics } from './router-queue-metrics.ts';
import { averageItlS, kvHitRate, kvTransferS, RouterRequestMetrics } from './router-request-metrics.ts';
import { newRoutingPhases, routingPhases } from './routing-phases.ts';
import type { WorkerIdentity } from './worker-load-metrics.ts';

const { golden } = metricsCatalogue();
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const asSnake = (phases: object) =>
  Object.fromEntries(Object.entries(phases).map(([name, value]) => [snake(name), value]));
const number = (value: number | null | undefined) => value ?? Number.NaN;

describe('phases of a routing decision', () => {
  test.each(golden.routing_phases_1_0_2)('$input_ms', ({ input_ms, output_ms }) => {
    const { hash, find, seq, total } = input_ms;
    expect(asSnake(routingPhases(number(hash), number(find), number(seq), number(total)))).toEqual(output_ms);
  });

  test.each(golden.routing_phases_2026_08)('of newer versions, $input_ms', ({ input_ms, output_ms }) => {
    const { hash, seq, indexer, shared, find, total } = input_ms;
    const phases = newRoutingPhases({
      hashMs: number(hash),
      seqMs: number(seq),
      findMs: number(find),
      totalMs: number(total),
      indexerMs: number(indexer),
      sharedCacheMs: shared ?? undefined,
    });
    expect(asSnake(phases)).toEqual(output_ms);
  });

  test('are visible at zero from the start, with the buckets of 1.0.2, under a decimal router id', async () => {
    const probe = new MetricsProbe({ instanceId: '17868415983866978093' });
    const overhead = new RouterOverheadMetrics(probe.metrics);
    const label = 'router_id="17868415983866978093"';
    const total = `dynamo_router_overhead_total_ms_bucket{${label},le="13.1072"}`;
    expect(await probe.value(total)).toBe(0);
    overhead.observe(2, 5, 6, 9);
    const samples = await probe.samples();
    const sums = ['block_hashing', 'indexer_find_matches', 'seq_hashing', 'scheduling', 'total'].map(
      (phase) => samples.get(`dynamo_router_overhead_${phase}_ms_sum{${label}}`),
    );
    expect([sums, samples.get(total)]).toEqual([[2, 3, 1, 3, 9], 1]);
    const bounds = (await probe.series('dynamo_router_overhead_scheduling_ms_bucket')).map(
      (series) => /le="([^"]+)"/.exec(series)?.[1],
    );
    expect(bounds).toEqual([
      '0.0001',
      '0.0002',
      '0.0004',
      '0.0008',
      '0.0016',
      '0.0032',
      '0.0064',
      '0.0128',
      '0.0256',
      '0.0512',
      '0.1024',
      '0.2048',
      '0.4096',
      '0.8192',
      '1.6384',
      '3.2768',
      '6.5536',
      '13.1072',
      '+Inf',
    ]);
  });
});

describe('a routed request', () => {
  const LABELS =
    'dynamo_component="backend",dynamo_namespace="my_ns",router_id="7587894086525041936",worker_id="694d9d78249cbd10"';

  test.each(golden.router_request)('$case', (entry) => {
    switch (entry.case) {
      case 'kv_hit_rate':
        expect(
          kvHitRate(number(entry.isl), number(entry.block_size), number(entry.overlap_blocks)) ?? null,
        ).toBe(entry.output);
        break;
      case 'avg_itl_s':
        expect(averageItlS(number(entry.first_token_s), number(entry.now_s), number(entry.osl)) ?? null).toBe(
          entry.output,
        );
        break;
      default:
        expect(entry.case).toBe('kv_transfer_s');
        expect(kvTransferS(number(entry.prefill_complete_s), number(entry.first_token_s))).toBe(entry.output);
    }
  });

  test('is visible at zero before the first, under the component routed to', async () => {
    const probe = new MetricsProbe();
    new RouterRequestMetrics(probe.metrics, 'my-ns', 'backend');
    for (const name of [
      'requests_total',
      'requests_started_total',
      'kv_hit_rate_count',
      'output_sequence_tokens_count',
    ])
      expect(await probe.value(`dynamo_component_router_${name}{${LABELS}}`)).toBe(0);
  });

  test('counts what its parts say, clamping the hit rate and counting the anomaly', async () => {
    const probe = new MetricsProbe();
    const router = new RouterRequestMetrics(probe.metrics, 'my-ns', 'backend');
    router.routed(100, 16, 3);
    router.routed(16, 16, 2);
    router.routed(0, 16, 0);
    router.routed(50, 16);
    router.started();
    router.firstToken(250);
    router.outputBlock(10_000, 12_000, 5);
    router.outputBlock(10_000, 12_000, 1);
    router.ended(7, 5000, 4000);
    router.ended(0, 5000, 5500);
    router.passedOver(3);
    router.predicted(100, 48, 64);
    const samples = await probe.samples();
    const read = (name: string) => samples.get(`dynamo_component_router_${name}{${LABELS}}`);
    expect([read('kv_hit_rate_count'), read('kv_hit_rate_sum')]).toEqual([2, 3 / 7 + 1]);
    expect(read('kv_hit_rate_count')).toBe(
      samples.get(`dynamo_component_router_kv_hit_rate_bucket{${LABELS},le="1"}`),
    );
    expect([read('input_sequence_tokens_count'), read('input_sequence_tokens_sum')]).toEqual([4, 166]);
    expect([read('requests_started_total'), read('requests_total')]).toEqual([1, 2]);
    expect([read('time_to_first_token_seconds_sum'), read('inter_token_latency_seconds_sum')]).toEqual([
      0.25, 0.5,
    ]);
    expect([read('output_sequence_tokens_count'), read('output_sequence_tokens_sum')]).toEqual([1, 7]);
    expect(read('kv_transfer_estimated_latency_seconds_count')).toBe(2);
    expect(read('kv_transfer_estimated_latency_seconds_sum')).toBe(0.5);
    const own = LABELS.replace('router_id="7587894086525041936",', '');
    expect(samples.get(`kvasir_router_hit_rate_anomalies_total{${own}}`)).toBe(1);
    expect(samples.get(`kvasir_router_prediction_error_ratio_sum{${own}}`)).toBe(0.16);
  });

  test('of 1.0.2 observes empty answers too and knows no worker_id', async () => {
    const probe = new MetricsProbe({ version: '1.0.2' });
    const router = new RouterRequestMetrics(probe.metrics, 'ns', 'backend');
    router.ended(0);
    const labels = 'dynamo_component="backend",dynamo_namespace="ns",router_id="7587894086525041936"';
    expect(await probe.value(`dynamo_component_router_output_sequence_tokens_count{${labels}}`)).toBe(1);
    expect(await probe.series('dynamo_component_router_requests_started')).toEqual([]);
  });
});

test('a queue shows every policy class and every reason at zero', async () => {
  const probe = new MetricsProbe();
  const queues = new RouterQueueMetrics(probe.metrics);
  const queue = queues.queue('M', 'decode', 'fcfs');
  queues.queue(undefined, 'prefill', 'lcfs');
  queue.set(2, 300, 100);
  queue.rejected('request_limit');
  const samples = await probe.samples();
  const labels = 'model="M",policy_class="fcfs"';
  const read = (name: string) =>
    samples.get(`dynamo_frontend_router_queue_pending_${name}{${labels},worker_type="decode"}`);
  expect([read('requests'), read('isl_tokens'), read('cached_tokens')]).toEqual([2, 300, 100]);
  expect(await probe.series('dynamo_frontend_router_queue_backpressure_total')).toHaveLength(6);
  const backpressure = 'dynamo_frontend_router_queue_backpressure_total';
  expect(samples.get(`${backpressure}{${labels},reason="request_limit",worker_type="decode"}`)).toBe(1);
  expect(
    samples.get(
      `${backpressure}{model="unknown",policy_class="lcfs",reason="cached_token_limit",worker_type="prefill"}`,
    ),
  ).toBe(0);
});

describe('the index', () => {
  const NODE = 'dynamo_component="backend",dynamo_namespace="ns"';

  test('counts events by kind and status, with fewer statuses in 1.0.2', async () => {
    for (const [version, status] of [
      ['current', 'capacity_exhausted'],
      ['1.0.2', 'invalid_block'],
    ] as const) {
      const probe = new MetricsProbe({ version });
      const index = new IndexMetrics(probe.metrics, 'ns', 'backend');
      expect(await probe.series('dynamo_component_kv_cache_events_applied')).toEqual([]);
      index.applied('stored', 'ok', 3);
      index.applied('stored', 'ok');
      index.applied('removed', 'capacity_exhausted');
      const worker = version === '1.0.2' ? '' : ',worker_id="694d9d78249cbd10"';
      const name = 'dynamo_component_kv_cache_events_applied';
      expect(await probe.value(`${name}{${NODE},event_type="stored",status="ok"${worker}}`)).toBe(4);
      expect(await probe.value(`${name}{${NODE},event_type="removed",status="${status}"${worker}}`)).toBe(1);
    }
  });

  test('shows the sums over all indexes of the process, and what they evicted', async () => {
    const probe = new MetricsProbe();
    const index = new IndexMetrics(probe.metrics, 'ns', 'backend');
    let evicted = 3;
    index.watch(() => ({ memoryBytes: 4096, blocks: 10, residents: 25, evicted }));
    const stop = index.watch(() => ({ memoryBytes: 1024, blocks: 1, residents: 1, evicted: 0 }));
    index.warned('duplicate_store');
    const labels = `{${NODE},worker_id="694d9d78249cbd10"}`;
    const read = async () => {
      const samples = await probe.samples();
      return ['memory_bytes', 'blocks', 'resident_blocks', 'evicted_blocks_total'].map((name) =>
        samples.get(`kvasir_index_${name}${labels}`),
      );
    };
    expect(await read()).toEqual([5120, 11, 26, 3]);
    stop();
    evicted = 8;
    expect(await read()).toEqual([4096, 10, 25, 8]);
  });
});

describe('a rank', () => {
  const RANK: WorkerIdentity = { workerId: '12', dpRank: 1, workerType: 'decode' };
  const NODE = 'dynamo_component="backend",dynamo_namespace="ns"';

  test('tells of its event stream until it leaves, and not after', async () => {
    const probe = new MetricsProbe();
    const ranks = new RankMetrics(probe.metrics, 'ns', 'backend');
    ranks.add(RANK);
    ranks.add({ ...RANK, dpRank: 0 });
    ranks.setState(RANK, 'exact');
    ranks.seen(RANK);
    ranks.missed(RANK, 5);
    ranks.rejected(RANK, 'block_size');
    probe.clock.advanceTo(4000);
    const rank = `dp_rank="1",${NODE}`;
    const worker = 'worker="12",worker_id="694d9d78249cbd10"';
    const samples = await probe.samples();
    expect(samples.get(`kvasir_index_rank_event_age_seconds{${rank},${worker}}`)).toBe(4);
    expect(samples.get(`kvasir_index_rank_state{${rank},state="exact",${worker}}`)).toBe(1);
    expect(samples.get(`kvasir_index_rank_state{${rank},state="approximate",${worker}}`)).toBe(0);
    expect(samples.get(`kvasir_index_event_gaps_total{${rank},${worker}}`)).toBe(1);
    expect(samples.get(`kvasir_index_missed_batches_total{${rank},${worker}}`)).toBe(5);
    const registered = `dynamo_component_router_worker_registered{${rank},router_worker_id="12",worker_id="694d9d78249cbd10",worker_type="decode"}`;
    expect(samples.get(registered)).toBe(1);
    ranks.remove(RANK);
    ranks.seen(RANK);
    ranks.missed(RANK, 1);
    ranks.setState(RANK, 'degraded');
    ranks.rejected(RANK, 'block_size');
    const left = [...(await probe.samples()).keys()].filter((name) => name.includes('"12"'));
    expect(left.filter((name) => name.includes('dp_rank="1"'))).toEqual([]);
    expect(left).toHaveLength(5);
    ranks.add(RANK);
    expect(await probe.series('kvasir_index_rank_state')).toHaveLength(8);
  });
});
