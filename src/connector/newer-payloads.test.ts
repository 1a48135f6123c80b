import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { parseExposition } from '../formats/prometheus-text/parse.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { Registry } from '../metrics/registry.ts';
import { ConnectorRegistry } from './connector-registry.ts';
import { ConnectorTelemetry } from './connector-telemetry.ts';
import { TransferLog } from './transfer-log.ts';

/** Made by running the stats classes of vLLM 0.32. */
const read = (name: string): string =>
  readFileSync(new URL(`../../test/golden/connector/${name}`, import.meta.url), 'utf8');
const { cases } = JSON.parse(read('vllm-0.32.json')) as {
  readonly cases: readonly {
    readonly name: string;
    readonly connector: string;
    readonly payloads: readonly object[];
    readonly line: string;
  }[];
};

function setUp() {
  const clock = new VirtualClock();
  const metrics = new ProcessMetrics({ clock, instanceId: '1' });
  const start = (connector: string) => {
    const registry = new Registry();
    metrics.attach(registry);
    return new ConnectorTelemetry({ connector, modelName: 'm', engines: [0], registry, clock });
  };
  const samples = async (prefix: string): Promise<Map<string, number>> =>
    samplesOf((await metrics.scrape()).body.toString(), prefix);
  return { start, samples };
}

function samplesOf(text: string, prefix: string): Map<string, number> {
  const all = [...parseExposition(text).families.values()].flatMap(({ samples }) => samples);
  return new Map(
    all
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, labels, value }) => {
        const texts = Object.entries(labels).map(([label, text]) =>
          label === 'le' ? `le=${Number(text.replace('+Inf', 'Infinity'))}` : `${label}=${text}`,
        );
        return [`${name}{${texts.sort().join(',')}}`, value];
      }),
  );
}

describe('payloads of vLLM 0.32', () => {
  test.each(cases.map((each) => [each.name, each] as const))('come to its line: %s', (_name, each) => {
    const connectors = new ConnectorRegistry();
    const drops: string[] = [];
    const direct = new TransferLog(each.connector, connectors, 0);
    const relayed = new TransferLog(each.connector, connectors, 0);
    for (const payload of each.payloads) {
      const stats = direct.observe(payload, (reason) => drops.push(reason));
      relayed.observe(JSON.parse(JSON.stringify(stats?.data())), (reason) => drops.push(reason));
    }
    expect([direct.close(10_000)?.line, relayed.close(10_000)?.line, drops]).toEqual([
      each.line,
      each.line,
      [],
    ]);
  });

  test('make its series', async () => {
    const { start, samples } = setUp();
    for (const name of ['NixlConnector', 'OffloadingConnector']) {
      const telemetry = start(name);
      for (const { connector, payloads } of cases)
        if (connector === name) for (const payload of payloads) telemetry.observe(payload);
    }
    const expected = samplesOf(read('vllm-0.32.prom'), 'vllm:');
    const own = await samples('vllm:');
    expect(Object.fromEntries([...own].sort())).toEqual(Object.fromEntries([...expected].sort()));
    expect(
      (await samples('kvasir_kv_connector_bytes_total')).get(
        'kvasir_kv_connector_bytes_total{connector=OffloadingConnector,engine=0,model_name=m}',
      ),
    ).toBe(10_002_000);
  });
});

describe('a connector that describes itself', () => {
  test('needs no code: a schema, sent once, says what its payloads hold', async () => {
    const { start, samples } = setUp();
    const telemetry = start('Unheard');
    const metrics = [
      {
        name: 'x:time_seconds',
        type: 'histogram',
        documentation: 'Time.',
        samples_path: 'times',
        sample_kind: 'observe-each-float',
        buckets: [0.1, 1],
      },
      {
        name: 'x:fill',
        type: 'gauge',
        documentation: 'Fill.',
        samples_path: 'now.fill',
        sample_kind: 'set-float',
      },
      {
        name: 'x:bytes',
        type: 'counter',
        documentation: 'Bytes.',
        samples_path: ['bytes'],
        sample_kind: 'inc-by-int',
      },
      {
        name: 'x:lost',
        type: 'counter',
        documentation: 'Lost.',
        samples_path: 'lost',
        sample_kind: 'inc-by-sum-int',
      },
      { name: 'x:odd', type: 'counter', documentation: '', samples_path: 'odd', sample_kind: 'inc-by-magic' },
    ];
    telemetry.observe({
      _metrics_schema: { schema_version: 1, connector_id: 'u', metrics },
      times: [0.05, 0.5],
      bytes: 7,
    });
    telemetry.observe({ times: [5], now: { fill: 0.5 }, bytes: 3, lost: [1, 1] });
    telemetry.observe({ now: { fill: 0.25 } });
    expect(Object.fromEntries(await samples('x:'))).toEqual({
      'x:time_seconds_bucket{engine=0,le=0.1,model_name=m}': 1,
      'x:time_seconds_bucket{engine=0,le=1,model_name=m}': 2,
      'x:time_seconds_bucket{engine=0,le=Infinity,model_name=m}': 3,
      'x:time_seconds_sum{engine=0,model_name=m}': 5.55,
      'x:time_seconds_count{engine=0,model_name=m}': 3,
      'x:fill{engine=0,model_name=m}': 0.25,
      'x:bytes_total{engine=0,model_name=m}': 10,
      'x:lost_total{engine=0,model_name=m}': 2,
    });
    const dropped = await samples('kvasir_kv_connector_dropped_total');
    expect(dropped.get('kvasir_kv_connector_dropped_total{connector=Unheard,reason=unknown_key}')).toBe(1);
  });

  test('keeps labels, and bounds names and label sets', async () => {
    const { start, samples } = setUp();
    const telemetry = start('Unheard');
    const types = { 'y:n': 'counter', 'y: bad': 'counter', 'y:none': 'summary' };
    telemetry.observe({
      types,
      data: { 'y:n': { "('a',)": 1, '["b"]': 2 }, 'y: bad': { '': 1 }, 'y:none': { '': 1 } },
    });
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`l${i}`, 1]));
    telemetry.observe({ types, data: { 'y:n': many } });
    const all = await samples('y:');
    expect(all.get('y:n_total{engine=0,label_0=a,model_name=m}')).toBe(1);
    expect(all.get('y:n_total{engine=0,label_0=b,model_name=m}')).toBe(2);
    expect(all.size).toBeLessThanOrEqual(66);
    const dropped = await samples('kvasir_kv_connector_dropped_total');
    expect(dropped.get('kvasir_kv_connector_dropped_total{connector=Unheard,reason=too_many_keys}')).toBe(
      137,
    );
  });
});

test('LMCache tells what it has at a moment', async () => {
  const { start, samples } = setUp();
  const telemetry = start('LMCacheConnectorV1');
  expect((await samples('lmcache:')).has('lmcache:local_cache_usage{engine=0,model_name=m}')).toBe(false);
  telemetry.observe({
    num_stored_tokens: 256,
    local_cache_usage: 100,
    retrieve_hit_rate: 0.5,
    time_to_lookup: [2e-5],
  });
  telemetry.observe({ num_stored_tokens: 256, local_cache_usage: 40 });
  const all = await samples('lmcache:');
  expect(all.get('lmcache:local_cache_usage{engine=0,model_name=m}')).toBe(40);
  expect(all.get('lmcache:retrieve_hit_rate{engine=0,model_name=m}')).toBe(0.5);
  expect(all.get('lmcache:num_stored_tokens_total{engine=0,model_name=m}')).toBe(512);
  expect(all.get('lmcache:time_to_lookup_bucket{engine=0,le=0.00002,model_name=m}')).toBe(1);
});
