import { describe, expect, test } from 'vitest';
import { metricsCatalogue } from '../../../test/support/metrics-catalogue.ts';
import { resolveBuckets } from '../buckets.ts';
import {
  CONNECTORS_TITLE,
  INDEXER_EVENTS_TITLE,
  METRICS_TABLES,
  SGLANG_TITLE,
  THOMPSON_ROUTER_TITLE,
} from '../catalogue.ts';
import { ENDPOINTS } from '../outcome.ts';
import { LOAD_DECISIONS, THROUGHPUT_DECISIONS } from '../planner-metrics.ts';
import { BACKPRESSURE_REASONS } from '../router-queue-metrics.ts';
import type { FamilySpec } from '../spec.ts';

const catalogue = metricsCatalogue();
const known = new Map(catalogue.metrics.map((family) => [family.name, family]));
const all = METRICS_TABLES.flatMap(({ families }) => Object.values<FamilySpec>(families));
const ours = all.filter(({ name }) => name.startsWith('kvasir_'));
/** Not in the catalogue: each of these tables is held by goldens in a test of its own. */
const APART: readonly string[] = [
  CONNECTORS_TITLE,
  INDEXER_EVENTS_TITLE,
  SGLANG_TITLE,
  THOMPSON_ROUTER_TITLE,
];
const elsewhere = new Set(
  METRICS_TABLES.filter(({ title }) => APART.includes(title)).flatMap(({ families }) =>
    Object.values<FamilySpec>(families).map(({ name }) => name),
  ),
);
const inherited = all.filter(({ name }) => !name.startsWith('kvasir_') && !elsewhere.has(name));

/** The hierarchy's labels, and those that an endpoint or an engine's registry gives all its families. */
const GIVEN = ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'model', 'model_name', 'worker_id'];

describe('inherited families are as in the catalogue', () => {
  test.each(inherited.map((spec) => [spec.name, spec] as const))('%s', (name, spec) => {
    const family = known.get(name);
    expect([spec.type, spec.help]).toEqual([family?.type, family?.help]);
    const automatic = new Set(family?.auto_labels);
    const left = family?.labels.filter((label) => !automatic.has(label)) ?? [];
    const expected = name.startsWith('dynamo_component_')
      ? left.filter((label) => !GIVEN.includes(label))
      : left;
    const perWorker = ['dynamo_component_thompson_routing_decisions_total'].includes(name) ? left : expected;
    expect([...spec.labels].sort()).toEqual(perWorker);
  });

  test.each(inherited.filter(({ type }) => type === 'histogram').map((spec) => [spec.name, spec] as const))(
    '%s has its buckets, and those of 1.0.2',
    (name, spec) => {
      const family = known.get(name);
      const old = family?.bucket_list_1_0_2;
      const oldBounds = old === undefined ? family?.buckets : catalogue.bucket_lists[old]?.bounds;
      // The overhead histograms keep the finer buckets of 1.0.2 in every version.
      const bounds = name.startsWith('dynamo_router_overhead_') ? oldBounds : family?.buckets;
      expect(resolveBuckets(spec.buckets ?? [])).toEqual(bounds);
      expect(resolveBuckets(spec.oldBuckets ?? spec.buckets ?? [])).toEqual(oldBounds);
    },
  );

  test.each(inherited.map((spec) => [spec.name, spec] as const))(
    '%s is hidden from 1.0.2 if it is newer',
    (name, spec) => {
      const since = known.get(name)?.since ?? '';
      const old = /^(<=1\.0\.0|1\.0\.0|1\.0\.0 or later|seed PR 2704|vLLM|NAT)/.test(since);
      expect(spec.since === undefined).toBe(old);
    },
  );

  test('all that a core, planner or kvbm consumer may ask for are here', () => {
    const names = new Set(inherited.map(({ name }) => name));
    const missing = catalogue.metrics.filter(
      ({ name, tier }) => ['core', 'planner'].includes(tier) && !names.has(name),
    );
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  test('none is listed twice', () => {
    const names = all.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});

describe('label values are those of the catalogue', () => {
  const valuesOf = (name: string, label: string) => known.get(name)?.label_values?.[label];

  test('of the planner’s decisions', () => {
    const load = 'dynamo_planner_load_scaling_decision';
    const throughput = 'dynamo_planner_throughput_scaling_decision';
    expect(LOAD_DECISIONS).toEqual(valuesOf(load, load));
    expect(THROUGHPUT_DECISIONS).toEqual(valuesOf(throughput, throughput));
  });

  test('of endpoints and of reasons to push back', () => {
    expect(ENDPOINTS).toEqual(valuesOf('dynamo_frontend_requests_total', 'endpoint'));
    const backpressure = 'dynamo_frontend_router_queue_backpressure_total';
    expect(BACKPRESSURE_REASONS).toEqual(valuesOf(backpressure, 'reason'));
  });
});

describe('our own families follow the naming rules', () => {
  test.each(ours.map((spec) => [spec.name, spec] as const))('%s', (name, { type, help, labels }) => {
    expect(name).toMatch(/^kvasir_[a-z][a-z0-9_]*[a-z0-9]$/);
    expect(help).toMatch(/^[A-Z].*[^.]$/);
    expect(name.endsWith('_total')).toBe(type === 'counter');
    expect(name).not.toMatch(/_(count|sum|bucket|info|gauge|counter|histogram)$/);
    expect(name).not.toMatch(/(milliseconds|_ms|_us|kilo|mega|percent|minutes|hours)/);
    for (const label of labels) expect(label).toMatch(/^[a-z][a-z_]*$/);
  });
});
