import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { parseExposition } from '../formats/prometheus-text/parse.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { Registry } from '../metrics/registry.ts';
import { ConnectorRegistry } from './connector-registry.ts';
import { ConnectorTelemetry } from './connector-telemetry.ts';

const MIB = 2 ** 20;
const NIXL_TWO = {
  transfer_duration: [0.5, 1.5],
  post_duration: [0.001, 0.001],
  bytes_transferred: [10 * MIB, 30 * MIB],
  num_descriptors: [4, 6],
  num_failed_transfers: [1],
  num_failed_notifications: [],
  num_kv_expired_reqs: [1, 1],
};

function setUp(connector: string, engines: readonly number[] = [0, 1]) {
  const clock = new VirtualClock();
  const process = new ProcessMetrics({ clock, instanceId: '1' });
  const registry = new Registry();
  process.attach(registry);
  const telemetry = new ConnectorTelemetry({ connector, modelName: 'm', engines, registry, clock });
  const samples = async (): Promise<Map<string, number>> => {
    const { body } = await process.scrape();
    return samplesOf(body.toString());
  };
  return { clock, telemetry, samples };
}

/** By name and labels, `le` as a number. */
function samplesOf(text: string): Map<string, number> {
  const { families } = parseExposition(text);
  return new Map(
    [...families.values()].flatMap((family) =>
      family.samples.map(({ name, labels, value }) => {
        const entries = Object.entries(labels).map(([label, text]) =>
          label === 'le' ? `le=${Number(text.replace('+Inf', 'Infinity'))}` : `${label}=${text}`,
        );
        return [`${name}{${entries.sort().join(',')}}`, value] as const;
      }),
    ),
  );
}

test('series have the reference’s names, labels, buckets, types and values', async () => {
  const path = (name: string): URL => new URL(`../../test/golden/connector/${name}`, import.meta.url);
  const { observe } = JSON.parse(readFileSync(path('observe.json'), 'utf8')) as {
    readonly observe: readonly { connector: string; engineIdx: number; data: unknown }[];
  };
  const clock = new VirtualClock();
  const options = { modelName: 'm', engines: [0, 1], clock };
  const metrics = new ProcessMetrics({ clock, instanceId: '1' });
  for (const { connector, engineIdx, data } of observe) {
    const own = new Registry();
    metrics.attach(own);
    new ConnectorTelemetry({ ...options, connector, registry: own }).observe(data, engineIdx);
  }
  const text = (await metrics.scrape()).body.toString();
  const expected = readFileSync(path('observe.prom'), 'utf8');
  const vllm = [...samplesOf(text)].filter(([name]) => name.startsWith('vllm:'));
  expect(Object.fromEntries(vllm)).toEqual(Object.fromEntries(samplesOf(expected)));
  const heads = (all: string) => all.split('\n').filter((line) => /^# (HELP|TYPE) vllm:/.test(line));
  expect(heads(text).sort()).toEqual(heads(expected).sort());
});

test('failures, bytes and wall-clock throughput are told per engine', async () => {
  const { clock, telemetry, samples } = setUp('NixlConnector');
  telemetry.observe(NIXL_TWO, 1);
  clock.advanceTo(10_000);
  const reports = telemetry.report();
  expect([...reports.keys()]).toEqual([1]);
  expect(reports.get(1)).toMatchObject({ intervalMs: 10_000, wallMbPerS: 4, rankMbPerS: 20 });
  const labels = 'connector=NixlConnector,engine=1';
  const all = await samples();
  expect(all.get(`kvasir_kv_connector_failures_total{${labels},kind=transfer,model_name=m}`)).toBe(1);
  expect(all.get(`kvasir_kv_connector_failures_total{${labels},kind=expired,model_name=m}`)).toBe(2);
  expect(all.get(`kvasir_kv_connector_transfers_total{${labels},model_name=m}`)).toBe(2);
  expect(all.get(`kvasir_kv_connector_bytes_total{${labels},model_name=m}`)).toBe(40 * MIB);
  expect(all.get(`kvasir_kv_connector_throughput_bytes_per_second{${labels},model_name=m}`)).toBe(4 * MIB);
  clock.advanceTo(20_000);
  expect(telemetry.report().size).toBe(0);
  const later = await samples();
  expect(later.get(`kvasir_kv_connector_throughput_bytes_per_second{${labels},model_name=m}`)).toBe(0);
});

test('nothing that a connector sends throws, and what is left out is counted by reason', async () => {
  const { telemetry, samples } = setUp('NixlConnector', [0]);
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const hostile = {
    get transfer_duration(): never {
      throw new Error('no');
    },
  };
  for (const data of [null, undefined, 7, 'x', [], [1], cyclic, hostile, { transfer_duration: 'long' }])
    telemetry.observe(data, 0);
  telemetry.observe({ transfer_duration: [Number.NaN, -1, 0.5], num_failed_transfers: [-1] }, 0);
  telemetry.observe(NIXL_TWO, 9);
  const all = await samples();
  const dropped = (reason: string) =>
    all.get(`kvasir_kv_connector_dropped_total{connector=NixlConnector,reason=${reason}}`);
  expect(dropped('not_a_map')).toBe(6);
  expect(dropped('unknown_key')).toBe(1);
  expect(dropped('internal')).toBe(1);
  expect(dropped('unreadable_value')).toBe(1);
  expect(dropped('bad_value')).toBe(3);
  expect(dropped('unknown_engine')).toBe(1);
  expect(all.get('vllm:nixl_xfer_time_seconds_count{engine=0,model_name=m}')).toBe(1);
});

test('children of a connector of connectors have their own series, those without families in ours', async () => {
  const { telemetry, samples } = setUp('MultiConnector', [0]);
  telemetry.observe({
    NixlConnector: { data: NIXL_TWO },
    SimpleCPUOffloadConnector: { data: { GPU_to_CPU: [{ op_size: 3, op_time: 0.5 }] } },
    FlexKVConnectorV1: { data: { hits: 3, times: [1, 2], deep: { x: 4 } } },
    LMCacheConnectorV1: { data: { num_stored_tokens: 256, time_to_store: [0.25] } },
  });
  const all = await samples();
  expect(all.get('vllm:nixl_xfer_time_seconds_sum{engine=0,model_name=m}')).toBe(2);
  expect(all.get('vllm:kv_offload_total_bytes_total{engine=0,model_name=m,transfer_type=GPU_to_CPU}')).toBe(
    3,
  );
  expect(all.get('lmcache:num_stored_tokens_total{engine=0,model_name=m}')).toBe(256);
  const flex = 'connector=FlexKVConnectorV1,engine=0,model_name=m';
  expect(all.get(`kvasir_kv_connector_values_total{${flex},name=hits}`)).toBe(3);
  expect(all.get(`kvasir_kv_connector_values_total{${flex},name=times}`)).toBe(3);
  expect(all.get(`kvasir_kv_connector_samples_total{${flex},name=times}`)).toBe(2);
  expect(all.get(`kvasir_kv_connector_values_total{${flex},name=deep.x}`)).toBe(4);
});

test('a burst is bounded: count and sum stay exact, quantiles near, the message small', () => {
  const connectors = new ConnectorRegistry();
  const stats = connectors.build('P2pNcclConnector', {}, () => {})!;
  for (let i = 1; i <= 100; i++) {
    const times = Array.from({ length: 1000 }, (_, k) => (i * 1000 + k) / 1e5);
    const sizes = times.map(() => MIB);
    const payload = { transfer_duration: times, bytes_transferred: sizes };
    stats.aggregate(connectors.build('P2pNcclConnector', payload, () => {})!);
  }
  const wire = JSON.stringify(stats.data());
  expect(wire.length).toBeLessThan(50_000);
  const received = connectors.build('P2pNcclConnector', JSON.parse(wire), () => {})!;
  expect(received.totals()).toMatchObject({ transfers: 100_000, sizeBytes: 100_000 * MIB });
  expect(received.totals().busyS).toBeCloseTo(stats.totals().busyS, 9);
  const p90 = received.reduce().find(({ key }) => key === 'P90 xfer time (ms)');
  expect((p90 as { value: number }).value / 910).toBeCloseTo(1, 1);
});

test('aggregation copies: what was added stays as it was', () => {
  const connectors = new ConnectorRegistry();
  const drop = (): void => {};
  for (const [name, data] of [
    ['NixlConnector', NIXL_TWO],
    ['OffloadingConnector', { GPU_to_CPU: [{ op_size: 5, op_time: 0.25 }] }],
    ['MultiConnector', { NixlConnector: { data: NIXL_TWO } }],
    ['Unheard', { times: [1, 2], hits: 3 }],
    [
      'MooncakeStoreConnector',
      { save_put: [{ duration_seconds: 1, num_keys: 2, num_bytes: 3, status: 'ok' }] },
    ],
  ] as const) {
    const total = connectors.build(name, {}, drop)!;
    const part = connectors.build(name, data, drop)!;
    const before = JSON.stringify(part.data());
    total.aggregate(part);
    total.aggregate(part);
    expect(JSON.stringify(part.data())).toBe(before);
    expect(JSON.stringify(total.data())).not.toBe(before);
    total.reset();
    expect(total.isEmpty()).toBe(true);
  }
});

test('a Mooncake store’s operations are told apart by status', async () => {
  const { telemetry, samples } = setUp('MooncakeStoreConnector', [0]);
  telemetry.observe({
    save_put: [
      { duration_seconds: 0.25, num_keys: 4, num_bytes: 100, status: 'ok', num_failed_keys: 0 },
      { duration_seconds: 0.75, num_keys: 2, num_bytes: 0, status: 'error', num_failed_keys: 2 },
    ],
  });
  expect(telemetry.report().get(0)?.stats).toEqual({
    save_put_count: 2,
    save_put_avg_ms: 500,
    save_put_p90_ms: 750,
    save_put_total_keys: 6,
    save_put_total_bytes: 100,
    save_put_failed_keys: 2,
    save_put_error_count: 1,
  });
  const labels = 'engine=0,model_name=m,operation=save_put,status=error';
  expect((await samples()).get(`vllm:mooncake_store_operation_failed_keys_total{${labels}}`)).toBe(2);
});

test('a connector is registered once', () => {
  const connectors = new ConnectorRegistry();
  expect(() => connectors.register({ name: 'NixlConnector', create: () => undefined })).toThrow(
    expect.objectContaining({ code: 'KV_CONNECTOR_REGISTERED' }),
  );
});
