import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry as PromRegistry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { MetricsProbe, parseExposition } from '../../test/support/metrics-probe.ts';
import { counter, gauge, histogram } from './spec.ts';

const body = async (probe: MetricsProbe) => String((await probe.metrics.scrape()).body);
const problems = async (probe: MetricsProbe, reason: string) => {
  await probe.metrics.scrape();
  return probe.value(`kvasir_metrics_problems_total{reason="${reason}"}`);
};

describe('a scrape', () => {
  test('shows the service’s families first, then the hierarchy’s, each sorted by name', async () => {
    const probe = new MetricsProbe();
    const { service, root } = probe.metrics;
    for (const name of ['z_total', 'b_total']) service.counter(counter(name, name)).with();
    root.namespace('ns').registry.counter(counter('a_total', 'a')).with();
    service.gauge(gauge('empty', 'has no series', ['x']));
    const types = [...(await body(probe)).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    expect(types).toEqual(['b_total', 'z_total', 'a_total', 'dynamo_component_uptime_seconds']);
  });

  test('has the content type of text 0.0.4 unless OpenMetrics is both allowed and asked for', async () => {
    const text = 'text/plain; version=0.0.4; charset=utf-8';
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
    const closed = new MetricsProbe().metrics;
    const open = new MetricsProbe({ openMetrics: true }).metrics;
    expect((await closed.scrape(accept)).contentType).toBe(text);
    expect((await open.scrape()).contentType).toBe(text);
    expect((await open.scrape('text/plain')).contentType).toBe(text);
    const exposition = await open.scrape(accept);
    expect(exposition.contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(exposition.body.subarray(-7).toString()).toBe('\n# EOF\n');
  });

  test('merges families of one name from several nodes under the first HELP', async () => {
    const probe = new MetricsProbe();
    const namespace = probe.metrics.root.namespace('ns');
    namespace.component('a').registry.counter(counter('n_total', 'first')).with().inc();
    namespace.component('b').registry.counter(counter('n_total', 'second')).with().inc(2);
    const text = await body(probe);
    expect(text.match(/^# HELP n_total .*$/gm)).toEqual(['# HELP n_total first']);
    expect(await probe.series('n_total')).toHaveLength(2);
    expect(await problems(probe, 'help_mismatch')).toBeGreaterThan(0);
  });

  test('leaves out a family of another type and a series that is there already', async () => {
    const probe = new MetricsProbe();
    const { service, root } = probe.metrics;
    service.counter(counter('n_total', 'n')).with().inc();
    root.registry.gauge(gauge('n_total', 'n')).with().set(9);
    service
      .gauge(gauge('g', 'g', ['worker_id']))
      .with({ worker_id: '694d9d78249cbd10' })
      .set(1);
    root.registry.gauge(gauge('g', 'g')).with().set(2);
    expect(await probe.value('n_total')).toBe(1);
    expect(await probe.value('g{worker_id="694d9d78249cbd10"}')).toBe(1);
    expect(await probe.series('g')).toHaveLength(1);
    expect(await problems(probe, 'type_mismatch')).toBeGreaterThan(0);
    expect(await problems(probe, 'duplicate_series')).toBeGreaterThan(0);
  });

  test('survives a callback and a text source that fail, and counts both', async () => {
    const probe = new MetricsProbe();
    probe.metrics.onScrape(() => {
      throw new Error('no');
    });
    probe.metrics.appendText(() => Promise.reject(new Error('engine down')));
    probe.metrics.appendText(() => 'vllm:x 1');
    expect((await body(probe)).endsWith('vllm:x 1\n')).toBe(true);
    expect(await problems(probe, 'callback_failed')).toBeGreaterThan(0);
    expect(await problems(probe, 'text_source_failed')).toBeGreaterThan(0);
  });

  test('leaves out of foreign text the families that are its own', async () => {
    const probe = new MetricsProbe();
    probe.metrics.service.counter(counter('mine_total', 'mine')).with();
    const stop = probe.metrics.appendText(
      () => '# TYPE mine_total counter\nmine_total{x="1"} 5\n# TYPE theirs gauge\ntheirs 1\n# EOF\n',
    );
    expect(await probe.series('mine_total')).toEqual(['mine_total']);
    expect(await probe.value('theirs')).toBe(1);
    expect(await body(probe)).not.toContain('# EOF');
    stop();
    expect(await probe.series('theirs')).toEqual([]);
  });

  test('counts dropped values and refused series by family', async () => {
    const probe = new MetricsProbe({ maxSeries: 1 });
    const family = probe.metrics.service.gauge(gauge('g', 'g', ['a']));
    for (const a of ['1', '2', '3']) family.with({ a }).set(Number.NaN);
    const samples = await probe.samples();
    expect(samples.get('kvasir_metrics_dropped_values_total{family="g"}')).toBe(3);
    expect(samples.get('kvasir_metrics_refused_series_total{family="g"}')).toBe(2);
  });

  test('gives hexadecimal worker ids beyond 2^53 without loss', async () => {
    const probe = new MetricsProbe({ instanceId: '17868415983866978093' });
    expect(await probe.series('dynamo_component_uptime')).toEqual([
      'dynamo_component_uptime_seconds{worker_id="f7f95daa994d9f2d"}',
    ]);
  });

  test('puts constant labels of the service on its families only', async () => {
    const probe = new MetricsProbe({ serviceLabels: { dynamo_namespace: 'ns' } });
    probe.metrics.service.counter(counter('a_total', 'a')).with();
    expect(await probe.series('a_total')).toEqual(['a_total{dynamo_namespace="ns"}']);
  });

  test('lets other work run while a very long text is made', async () => {
    const probe = new MetricsProbe();
    for (let i = 0; i < 8; i++) {
      const family = probe.metrics.service.counter(counter(`long_${i}_total`, 'x'.repeat(400_000)));
      family.with();
    }
    let turns = 0;
    const count = (): void => {
      turns++;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await probe.metrics.scrape();
    clearImmediate(timer);
    expect(turns).toBeGreaterThanOrEqual(2);
  });
});

describe('the text', () => {
  test('escapes labels and HELP, and reads back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        async (value, help) => {
          const probe = new MetricsProbe();
          probe.metrics.service
            .gauge(gauge('g', help, ['a']))
            .with({ a: value })
            .set(1);
          const { families } = parseExposition(await body(probe));
          expect(families.get('g')?.samples[0]?.labels).toEqual({ a: value });
        },
      ),
      { numRuns: 200 },
    );
  });

  test('is what prom-client makes of the same observations', async () => {
    const probe = new MetricsProbe();
    const { service } = probe.metrics;
    const theirs = new PromRegistry();
    const bounds = [0.005, 0.1, 2.5, 1000];
    const labels = { a: 'x"\\\ny', b: 'é' };
    const names = ['a', 'b'] as const;
    const registers = [theirs];
    service
      .counter(counter('c_total', 'counts "it" \\ \n', names))
      .with(labels)
      .inc(3.5);
    new Counter({ name: 'c_total', help: 'counts "it" \\ \n', labelNames: names, registers }).inc(
      labels,
      3.5,
    );
    service.gauge(gauge('g', 'g')).with().set(-0.25);
    new Gauge({ name: 'g', help: 'g', registers }).set(-0.25);
    const own = service.histogram(histogram('h', 'h', bounds, names)).with(labels);
    const their = new Histogram({ name: 'h', help: 'h', buckets: bounds, labelNames: names, registers });
    for (const value of [0.001, 0.005, 0.05, 2, 3000]) {
      own.observe(value);
      their.observe(labels, value);
    }
    const samplesOf = (text: string) => {
      const { families, problems } = parseExposition(text);
      expect(problems).toEqual([]);
      return ['c_total', 'g', 'h'].map((name) => families.get(name));
    };
    expect(samplesOf(await body(probe))).toEqual(samplesOf(await theirs.metrics()));
  });
});

describe('OpenMetrics', () => {
  const openMetrics = async (probe: MetricsProbe) =>
    String((await probe.metrics.scrape('application/openmetrics-text')).body);

  test('strips _total from the family, keeps suffixless counters as unknown, writes le as floats', async () => {
    const probe = new MetricsProbe({ openMetrics: true });
    const { service } = probe.metrics;
    service.counter(counter('a_total', 'Says "a".')).with().inc();
    service.counter(counter('kvbm_matched_tokens', 'b')).with();
    service
      .histogram(histogram('h', 'h', [0, 1, 0.5 + 1]))
      .with()
      .observe(1);
    const text = await openMetrics(probe);
    expect(text).toContain('# HELP a Says \\"a\\".\n# TYPE a counter\na_total 1\n');
    expect(text).toContain('# TYPE kvbm_matched_tokens unknown\nkvbm_matched_tokens 0\n');
    expect(text).toContain(
      'h_bucket{le="0.0"} 0\nh_bucket{le="1.0"} 1\nh_bucket{le="1.5"} 1\nh_bucket{le="+Inf"} 1\n',
    );
    expect(await body(probe)).toContain('h_bucket{le="1"} 1\n');
    const { families, problems, format } = parseExposition(text);
    expect([format, problems, families.get('a')?.type]).toEqual(['openmetrics', [], 'counter']);
  });

  test('carries exemplars, which text never does', async () => {
    const probe = new MetricsProbe({ openMetrics: true });
    const family = probe.metrics.service.histogram(histogram('h', 'h', [1]));
    family.with().observeTraced(0.5, 1, 'abc"', 1.5);
    const { families } = parseExposition(await openMetrics(probe));
    expect(families.get('h')?.samples[0]?.exemplar).toEqual({
      labels: { trace_id: 'abc"' },
      value: 0.5,
      timestampS: 1.5,
    });
    expect(await body(probe)).not.toContain('trace_id');
  });
});
