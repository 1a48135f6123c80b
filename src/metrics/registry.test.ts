import { describe, expect, test } from 'vitest';
import { KvasirError } from '../base/errors.ts';
import { MetricsNode } from './hierarchy.ts';
import { Registry } from './registry.ts';
import { counter, type FamilySpec, gauge, histogram } from './spec.ts';

function reasonOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof KvasirError) return thrown.message;
  }
  return 'nothing was thrown';
}

describe('a registry', () => {
  test('refuses a name twice, also with other labels', () => {
    const registry = new Registry();
    registry.counter(counter('a_total', 'a'));
    expect(reasonOf(() => registry.gauge(gauge('a_total', 'b', ['x'])))).toBe(
      'metric a_total: is registered already',
    );
  });

  test.each([
    [counter('a b', 'h'), 'is not a metric name'],
    [counter('1a', 'h'), 'is not a metric name'],
    [counter('a', 'h', ['x-y']), '"x-y" is not a label name'],
    [counter('a', 'h', ['__x']), '"__x" is not a label name'],
    [counter('a', 'h', ['x', 'x']), 'label x is listed twice'],
    [histogram('a', 'h', [1], ['le']), '"le" is not a label name'],
    [histogram('a', 'h', [1, 1]), 'bucket bound 1 at position 1 is not finite and ascending'],
    [histogram('a', 'h', [1, Number.NaN]), 'bucket bound NaN at position 1 is not finite and ascending'],
    [{ ...gauge('a', 'h'), buckets: [1] }, 'is a gauge and cannot have buckets'],
  ])('refuses %j', (spec: FamilySpec, reason) => {
    const registry = new Registry();
    const register = () => {
      if (spec.type === 'histogram') registry.histogram(spec as never);
      else if (spec.type === 'gauge') registry.gauge(spec as never);
      else registry.counter(spec as never);
    };
    expect(reasonOf(register)).toBe(`metric ${spec.name}: ${reason}`);
  });

  test('gives a histogram without buckets 0.005 to 10', () => {
    const { buckets: _, ...spec } = histogram('h', 'h', []);
    expect([...new Registry().histogram(spec).bounds]).toEqual([
      0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]);
  });

  test('hides families newer than the version it plays and takes its buckets', () => {
    const registry = new Registry({ version: '1.0.2' });
    registry
      .counter(counter('new_total', 'h', [], { since: '1.1.0' }))
      .with()
      .inc();
    const old = registry.histogram(histogram('h', 'h', [1], [], { oldBuckets: [2] }));
    expect(registry.families.map(({ spec }) => spec.name)).toEqual(['h']);
    expect([...old.bounds]).toEqual([2]);
  });
});

describe('a family', () => {
  test('gives the same child for the same labels, whatever their order', () => {
    const family = new Registry().counter(counter('c_total', 'h', ['a', 'b']));
    const child = family.with({ a: '1', b: '2' });
    expect(family.with({ b: '2', a: '1' })).toBe(child);
    expect(family.with({ a: '12', b: '' })).not.toBe(child);
    expect(family.size).toBe(2);
  });

  test('is bounded: more series are counted and never shown', () => {
    const family = new Registry({ maxSeries: 2 }).counter(counter('c_total', 'h', ['a']));
    for (const a of ['1', '2', '3', '4', '1']) family.with({ a }).inc();
    expect([family.size, family.overflowed]).toEqual([2, 2]);
    expect([...family.series()].map(({ values, child }) => [values[0], child.value])).toEqual([
      ['1', 2],
      ['2', 1],
    ]);
  });

  test('lets a removed child live on unseen', () => {
    const family = new Registry().gauge(gauge('g', 'h', ['a']));
    const child = family.with({ a: '1' });
    expect(family.removeWhere({ a: '1' })).toBe(1);
    child.set(3);
    expect([family.size, family.find({ a: '1' }), family.remove({ a: '1' })]).toEqual([0, undefined, false]);
  });

  test('drops and counts amounts that are not finite, or negative for a counter', () => {
    const registry = new Registry();
    const counters = registry.counter(counter('c_total', 'h'));
    const gauges = registry.gauge(gauge('g', 'h'));
    counters.with().inc(2);
    for (const amount of [-1, Number.NaN, Number.POSITIVE_INFINITY]) counters.with().inc(amount);
    gauges.with().set(4);
    gauges.with().set(Number.NaN);
    gauges.with().add(Number.NEGATIVE_INFINITY);
    expect([counters.with().value, counters.ledger.dropped]).toEqual([2, 3]);
    expect([gauges.with().value, gauges.ledger.dropped]).toEqual([4, 2]);
  });

  test('clamps a u64 at what an integer gauge of the reference holds', () => {
    const family = new Registry().gauge(gauge('g', 'h'));
    family.with().setU64(2n ** 64n - 1n);
    expect(family.with().value).toBe(2 ** 63);
  });
});

describe('a hierarchy', () => {
  const root = () => MetricsNode.process({}, '694d9d78249cbd10');

  test('refuses labels that it sets itself', () => {
    const endpoint = root().namespace('ns').component('c').endpoint('generate');
    for (const label of ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'worker_id'])
      expect(reasonOf(() => endpoint.registry.counter(counter('a', 'h', [label])))).toContain(label);
    expect(reasonOf(() => root().namespace('n').component('c').endpoint('e', { worker_id: '1' }))).toContain(
      'label worker_id is set by the hierarchy',
    );
  });

  test('takes further labels of an endpoint only before it serves', () => {
    const component = root().namespace('ns').component('c');
    const endpoint = component.endpoint('generate', { model: 'm' });
    expect(component.endpoint('generate')).toBe(endpoint);
    expect(reasonOf(() => component.endpoint('generate', { model: 'other' }))).toContain('serves already');
    expect(endpoint.registry.labels).toMatchObject({ model: 'm', dynamo_endpoint: 'generate' });
  });

  test('has levels only in their order', () => {
    expect(reasonOf(() => root().component('c'))).toContain('no such level');
    expect(reasonOf(() => root().namespace('n').endpoint('e'))).toContain('no such level');
  });

  test('forgets a level with its families', () => {
    const top = root();
    const namespace = top.namespace('ns');
    namespace.component('c').registry.counter(counter('a', 'h'));
    top.remove(namespace);
    expect([...top.registries()]).toHaveLength(1);
  });
});
