import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../test/support/metrics-catalogue.ts';
import { MetricsProbe } from '../../test/support/metrics-probe.ts';
import { fail } from '../base/errors.ts';
import { FrontendMetrics } from './frontend-metrics.ts';
import type { WorkerIdentity } from './worker-load-metrics.ts';

const { golden } = metricsCatalogue();
const WORKER: WorkerIdentity = { workerId: '17868415983866978093', dpRank: undefined, workerType: 'decode' };
const REQUEST = 'endpoint="chat_completions"';

function frontend(version: 'current' | '1.0.2' = 'current') {
  const probe = new MetricsProbe({ version });
  const metrics = new FrontendMetrics(probe.metrics);
  metrics.addModel('M');
  return { probe, metrics, clock: probe.clock };
}

describe('an answer', () => {
  test.each(golden.frontend_stream)('of $case is counted as the reference does', async (stream) => {
    for (const version of ['current', '1.0.2'] as const) {
      const { probe, metrics, clock } = frontend(version);
      const guard = metrics.begin('M', 'chat_completions', 'stream');
      const collector = guard.collect(stream.isl);
      for (const tokens of stream.chunks) {
        clock.advanceTo(clock.nowMs() + 10);
        collector.chunk(tokens);
      }
      guard.end();
      const samples = await probe.samples();
      const model = version === '1.0.2' ? '{model="m"}' : '{model="M"}';
      const read = (name: string) => samples.get(`dynamo_frontend_${name}${model}`) ?? 0;
      expect({
        ttft_count: read('time_to_first_token_seconds_count'),
        isl_count: read('input_sequence_tokens_count'),
        isl_sum: read('input_sequence_tokens_sum'),
        itl_count: read('inter_token_latency_seconds_count'),
        output_tokens: read('output_tokens_total'),
      }).toEqual({
        ttft_count: stream.ttft_count,
        isl_count: stream.isl_count,
        isl_sum: stream.isl_sum,
        itl_count: stream.itl_count,
        output_tokens: stream.output_tokens,
      });
      const osl = [read('output_sequence_tokens_count'), read('output_sequence_tokens_sum')];
      const empty = version === '1.0.2' ? [1, 0] : [0, 0];
      expect(osl).toEqual(typeof stream.osl_observed === 'number' ? [1, stream.osl_observed] : empty);
    }
  });

  test.each(golden.itl_buffer_2026_08)('publishes its gaps in lots: $after_chunk_tokens', async (buffer) => {
    const { probe, metrics } = frontend();
    const collector = metrics.begin('M', 'completions', 'stream').collect();
    for (const tokens of buffer.after_chunk_tokens) collector.chunk(tokens);
    const count = () => probe.value('dynamo_frontend_inter_token_latency_seconds_count{model="M"}');
    expect(await count()).toBe(buffer.visible_itl_count);
    collector.end();
    if (buffer.visible_after_end !== undefined) expect(await count()).toBe(buffer.visible_after_end);
  });

  test('takes its times from the collector and the chunks, not from the request', async () => {
    const { probe, metrics, clock } = frontend();
    const guard = metrics.begin('M', 'chat_completions', 'stream');
    clock.advanceTo(1000);
    const collector = guard.collect(42);
    collector.chunk(3, 1500);
    collector.chunk(4, 1700);
    clock.advanceTo(4000);
    guard.succeed();
    guard.end();
    const samples = await probe.samples();
    expect(samples.get('dynamo_frontend_time_to_first_token_seconds_sum{model="M"}')).toBe(0.5);
    expect(samples.get('dynamo_frontend_inter_token_latency_seconds_sum{model="M"}')).toBe(0.2);
    expect(samples.get('dynamo_frontend_inter_token_latency_seconds_bucket{model="M",le="0.084"}')).toBe(4);
    expect(samples.get('dynamo_frontend_request_duration_seconds_sum{model="M"}')).toBe(4);
  });

  test('leaves the queue at its first token, or at its end without one', async () => {
    const { probe, metrics } = frontend();
    const queued = () => probe.value('dynamo_frontend_queued_requests{model="M"}');
    const first = metrics.begin('M', 'chat_completions', 'stream');
    const second = metrics.begin('M', 'chat_completions', 'stream');
    const collector = first.collect();
    expect(await queued()).toBe(2);
    collector.chunk(0);
    expect(await queued()).toBe(2);
    collector.chunk(1);
    collector.chunk(1);
    expect(await queued()).toBe(1);
    second.end();
    first.end();
    expect(await queued()).toBe(0);
  });

  test('tells of the workers that were named first', async () => {
    const { probe, metrics } = frontend();
    const collector = metrics.begin('M', 'chat_completions', 'stream').collect(42);
    const prefill: WorkerIdentity = { workerId: '7', dpRank: 1, workerType: 'prefill' };
    collector.attribute(prefill, undefined);
    collector.attribute(WORKER, WORKER);
    collector.chunk(1, 250);
    collector.chunk(2, 350);
    expect(await probe.series('dynamo_frontend_worker_')).toEqual([
      'dynamo_frontend_worker_last_input_sequence_tokens{dp_rank="1",worker_id="7",worker_type="prefill"}',
      'dynamo_frontend_worker_last_inter_token_latency_seconds{dp_rank="none",worker_id="17868415983866978093",worker_type="decode"}',
      'dynamo_frontend_worker_last_time_to_first_token_seconds{dp_rank="1",worker_id="7",worker_type="prefill"}',
    ]);
    const [isl, itl, ttft] = [...(await probe.samples())]
      .filter(([name]) => name.startsWith('dynamo_frontend_worker_'))
      .map(([, value]) => value);
    expect([isl, itl, ttft]).toEqual([42, 0.05, 0.25]);
  });

  test('reports cached tokens once and the mean of its detokenising', async () => {
    const { probe, metrics } = frontend();
    const guard = metrics.begin('M', 'chat_completions', 'stream');
    const collector = guard.collect();
    collector.cachedTokens(64);
    collector.cachedTokens(128);
    collector.detokenized(3);
    collector.detokenized(5);
    guard.end();
    const samples = await probe.samples();
    expect(samples.get('dynamo_frontend_cached_tokens_sum{model="M"}')).toBe(64);
    expect(samples.get('dynamo_frontend_tokenizer_latency_ms_sum{operation="detokenize"}')).toBe(4);
    expect(samples.get('dynamo_frontend_tokenizer_latency_ms_count{operation="detokenize"}')).toBe(1);
  });
});

describe('a request', () => {
  const totals = async (probe: MetricsProbe) =>
    [...(await probe.samples())].filter(
      ([name, value]) => name.startsWith('dynamo_frontend_requests_total') && value > 0,
    );

  test.each([
    ['returns early', () => {}, 'error', 'internal'],
    ['succeeds', (guard) => guard.succeed(), 'success', ''],
    ['breaks off while it streams', (guard) => guard.streaming(), 'error', 'cancelled'],
    ['fails with a type of its own', (guard) => guard.fail('response_timeout'), 'error', 'response_timeout'],
    ['fails validation', (guard) => guard.failWith(fail('KV_REQUEST_INVALID', {})), 'error', 'validation'],
  ] as [string, (guard: ReturnType<FrontendMetrics['begin']>) => void, string, string][])(
    'that %s ends as %s %s',
    async (_, act, status, errorType) => {
      const { probe, metrics } = frontend();
      const guard = metrics.begin('M', 'chat_completions', 'stream');
      act(guard);
      guard.end();
      guard.end();
      expect(await totals(probe)).toEqual([
        [
          `dynamo_frontend_requests_total{${REQUEST},error_type="${errorType}",model="M",request_type="stream",status="${status}"}`,
          1,
        ],
      ]);
      const samples = await probe.samples();
      expect(samples.get('dynamo_frontend_request_duration_seconds_count{model="M"}')).toBe(1);
      expect(samples.get('dynamo_frontend_inflight_requests{model="M"}')).toBe(0);
    },
  );

  test('shows its success at zero from the start, and no error before there is one', async () => {
    const { probe, metrics } = frontend();
    metrics.begin('M', 'chat_completions', 'unary');
    expect(await probe.series('dynamo_frontend_requests_total')).toEqual([
      `dynamo_frontend_requests_total{${REQUEST},error_type="",model="M",request_type="unary",status="success"}`,
    ]);
    const samples = await probe.samples();
    expect(
      samples.get(`dynamo_frontend_requests_started_total{${REQUEST},model="M",request_type="unary"}`),
    ).toBe(1);
    expect(samples.get('dynamo_frontend_inflight_requests{model="M"}')).toBe(1);
    expect(samples.get('dynamo_frontend_active_requests{model="M"}')).toBe(1);
  });

  test('whose client left is cancelled, even when its answer was whole', async () => {
    const { probe, metrics } = frontend();
    const guard = metrics.begin('M', 'chat_completions', 'unary');
    guard.disconnected();
    guard.disconnected();
    guard.succeed();
    guard.end();
    const samples = await probe.samples();
    expect((await totals(probe))[0]?.[0]).toContain('error_type="cancelled"');
    expect(samples.get('dynamo_frontend_disconnected_clients')).toBe(1);
    expect(samples.get('kvasir_frontend_client_disconnects_total')).toBe(1);
    expect(
      samples.get(`dynamo_frontend_model_cancellation_total{${REQUEST},model="M",request_type="unary"}`),
    ).toBe(1);
  });

  test('is a rejection when an overload lies anywhere in its causes', async () => {
    const { probe, metrics } = frontend();
    const guard = metrics.begin('M', 'chat_completions', 'stream');
    guard.failWith(
      fail('KV_INTERNAL', { reason: 'x' }, new Error('y', { cause: fail('KV_OVERLOADED', {}) })),
    );
    guard.reject();
    guard.end();
    expect(await probe.value(`dynamo_frontend_model_rejection_total{${REQUEST},model="M"}`)).toBe(1);
  });

  test('of 1.0.2 counts lower-cased, without newer series, and knows fewer errors', async () => {
    const { probe, metrics } = frontend('1.0.2');
    expect(await probe.series('dynamo_frontend_output_tokens_total')).toEqual([]);
    const guard = metrics.begin('M', 'chat_completions', 'stream');
    guard.fail('unavailable');
    guard.end();
    expect(await probe.series('dynamo_frontend_requests')).toEqual([
      `dynamo_frontend_requests_total{${REQUEST},error_type="internal",model="m",request_type="stream",status="error"}`,
    ]);
    expect(await probe.series('dynamo_frontend_active')).toEqual([]);
    const buckets = await probe.series('dynamo_frontend_request_duration_seconds_bucket');
    expect(buckets).toContain('dynamo_frontend_request_duration_seconds_bucket{model="m",le="1.9"}');
    expect(await probe.series('dynamo_component_uptime_seconds')).toEqual([
      'dynamo_component_uptime_seconds',
    ]);
  });
});

describe('a model', () => {
  test('shows its series at zero as soon as it is served', async () => {
    const { probe } = frontend();
    for (const name of [
      'time_to_first_token_seconds',
      'inter_token_latency_seconds',
      'input_sequence_tokens',
    ])
      expect(await probe.value(`dynamo_frontend_${name}_count{model="M"}`)).toBe(0);
    expect(await probe.value('dynamo_frontend_output_tokens_total{model="M"}')).toBe(0);
    expect(await probe.series('dynamo_frontend_requests_total')).toEqual([]);
  });

  test('shows the parts of its card that it has', async () => {
    const { probe, metrics } = frontend();
    metrics.addModel('M', { contextLength: 8192, kvCacheBlockSize: 64, migrationLimit: 0 });
    const cards = (await probe.series('dynamo_frontend_model_')).map((name) => name);
    expect(cards).toEqual([
      'dynamo_frontend_model_context_length{model="M"}',
      'dynamo_frontend_model_kv_cache_block_size{model="M"}',
      'dynamo_frontend_model_migration_limit{model="M"}',
    ]);
  });

  test('that nobody serves counts as unknown_model', async () => {
    const { probe, metrics } = frontend();
    metrics.begin('made-up', 'chat_completions', 'unary').end();
    metrics.begin('made-up-too', 'chat_completions', 'unary').end();
    expect(await probe.value('dynamo_frontend_request_duration_seconds_count{model="unknown_model"}')).toBe(
      2,
    );
    expect((await probe.series('dynamo_frontend_')).filter((name) => name.includes('made-up'))).toEqual([]);
  });

  test('loses its series some time after it has left, and late writes do not bring them back', async () => {
    const { probe, metrics, clock } = frontend();
    const guard = metrics.begin('M', 'chat_completions', 'stream');
    const collector = guard.collect();
    metrics.removeModel('M');
    clock.advanceTo(299_999);
    expect((await probe.series('dynamo_frontend_')).some((name) => name.includes('model="M"'))).toBe(true);
    clock.advanceTo(300_000);
    collector.chunk(3);
    guard.end();
    const left = (await probe.series('dynamo_frontend_')).filter((name) => name.includes('"M"'));
    expect(left).toEqual([]);
  });

  test('that comes back in time keeps its series', async () => {
    const { probe, metrics, clock } = frontend();
    metrics.begin('M', 'chat_completions', 'stream').collect().chunk(5);
    metrics.removeModel('M');
    clock.advanceTo(200_000);
    metrics.addModel('M');
    clock.advanceTo(600_000);
    expect(await probe.value('dynamo_frontend_output_tokens_total{model="M"}')).toBe(5);
  });

  test('beyond the limit has no series of its own, and is counted', async () => {
    const probe = new MetricsProbe();
    const metrics = new FrontendMetrics(probe.metrics, { maxModels: 1 });
    metrics.addModel('one');
    metrics.addModel('two');
    metrics.begin('two', 'chat_completions', 'unary').end();
    const samples = await probe.samples();
    expect(samples.get('kvasir_frontend_model_overflow_total')).toBe(1);
    expect(samples.get('dynamo_frontend_request_duration_seconds_count{model="overflow_model"}')).toBe(1);
  });
});

describe('the frontend', () => {
  test('names its own families after the given prefix, and the rest as always', async () => {
    const probe = new MetricsProbe();
    const metrics = new FrontendMetrics(probe.metrics, { prefix: 'my front' });
    metrics.addModel('M');
    metrics.stages.enter('preprocess').end();
    const names = (await probe.series('')).map((series) => series.split('{')[0]);
    expect(names).toContain('my_front_output_tokens_total');
    expect(names).toContain('dynamo_frontend_stage_duration_seconds_count');
    expect(names).not.toContain('dynamo_frontend_output_tokens_total');
  });

  test('counts migrations by kind and outcome', async () => {
    const { probe, metrics } = frontend();
    metrics.migrated('M', 'new_request');
    metrics.migrationEnded('M', 'ongoing_request', 'success', 1500);
    metrics.migrationTooLong('M');
    const samples = await probe.samples();
    const duration = 'dynamo_frontend_model_migration_duration_seconds_sum';
    expect(samples.get('dynamo_frontend_model_migration_total{migration_type="new_request",model="M"}')).toBe(
      1,
    );
    expect(samples.get(`${duration}{migration_type="ongoing_request",model="M",outcome="success"}`)).toBe(
      1.5,
    );
    expect(samples.get('dynamo_frontend_model_migration_max_seq_len_exceeded_total{model="M"}')).toBe(1);
  });

  test('observes tokenising twice, in ms and in s, and the cache of each model', async () => {
    const { probe, metrics } = frontend();
    metrics.tokenized(4);
    const cache = metrics.tokenizerCache('M');
    cache.encoded(0, 100);
    cache.encoded(90, 10);
    const samples = await probe.samples();
    expect(samples.get('dynamo_frontend_tokenizer_latency_ms_sum{operation="tokenize"}')).toBe(4);
    expect(samples.get('dynamo_frontend_tokenize_seconds_sum')).toBe(0.004);
    expect(samples.get('dynamo_frontend_tokenizer_cache_hits_total')).toBe(1);
    expect(samples.get('dynamo_frontend_tokenizer_cache_misses_total')).toBe(1);
    expect(samples.get('dynamo_frontend_tokenizer_cache_cached_tokens_total{model="M"}')).toBe(90);
    expect(samples.get('dynamo_frontend_tokenizer_cache_uncached_tokens_total{model="M"}')).toBe(110);
  });

  test('observes the latency of embeddings that succeed', async () => {
    const { probe, metrics, clock } = frontend();
    const good = metrics.begin('M', 'embeddings', 'unary');
    const bad = metrics.begin('M', 'embeddings', 'unary');
    clock.advanceTo(40);
    good.succeed();
    good.end();
    bad.end();
    const samples = await probe.samples();
    expect(samples.get('dynamo_frontend_embedding_latency_seconds_count{model="M"}')).toBe(1);
    expect(samples.get('dynamo_frontend_embedding_latency_seconds_sum{model="M"}')).toBe(0.04);
  });

  test('follows a request through its stages', async () => {
    const { probe, metrics, clock } = frontend();
    const { stages } = metrics;
    const route = stages.enter('route', 'decode');
    const pending = 'dynamo_frontend_stage_requests{phase="decode",stage="route"}';
    expect(await probe.value(pending)).toBe(1);
    clock.advanceTo(2);
    route.end();
    route.end();
    expect(await probe.value(pending)).toBe(0);
    const sent = stages.send(3, 'decode');
    const dispatched = 'dynamo_frontend_stage_requests{phase="decode",stage="dispatch"}';
    expect(await probe.value(dispatched)).toBe(1);
    clock.advanceTo(6);
    sent.sent();
    clock.advanceTo(22);
    sent.firstItem();
    sent.firstItem();
    expect(await probe.value(dispatched)).toBe(0);
    expect(await probe.value('dynamo_request_plane_inflight_requests')).toBe(1);
    sent.end();
    sent.end();
    const samples = await probe.samples();
    const read = (name: string) => [
      samples.get(name.replace('#', '_count')),
      samples.get(name.replace('#', '_sum')),
    ];
    expect(read('dynamo_frontend_stage_duration_seconds#{stage="route"}')).toEqual([1, 0.002]);
    expect(read('dynamo_frontend_stage_duration_seconds#{stage="transport_roundtrip"}')).toEqual([1, 0.02]);
    expect(read('dynamo_request_plane_roundtrip_ttft_seconds#')).toEqual([1, 0.02]);
    expect(read('dynamo_request_plane_send_seconds#')).toEqual([1, 0.004]);
    expect(read('dynamo_request_plane_queue_seconds#')).toEqual([1, 0.003]);
    expect(samples.get('dynamo_request_plane_inflight_requests')).toBe(0);
    expect(samples.has('dynamo_frontend_stage_duration_seconds_count{stage="dispatch"}')).toBe(false);
    stages.send(0, 'decode').end();
    expect(await probe.value(dispatched)).toBe(0);
  });
});
