import { fail } from '../base/errors.ts';
import { type BucketOverrides, checkBounds, resolveBuckets } from './buckets.ts';
import type { Counter } from './counter.ts';
import { type Child, Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import type { ConstantLabels } from './labels.ts';
import type { CounterSpec, FamilySpec, GaugeSpec, HistogramSpec } from './spec.ts';

/** Which version's names, labels, buckets and instants are emitted. */
export const METRICS_VERSIONS = ['current', '1.0.2'] as const;
export type MetricsVersion = (typeof METRICS_VERSIONS)[number];

/** What all registries of a process share. */
export interface RegistryRules {
  readonly version: MetricsVersion;
  readonly bucketOverrides: BucketOverrides;
  /** Series that one family may hold; more are counted and not exposed. */
  readonly maxSeries: number;
  readonly warn: (reason: string) => void;
}

const DEFAULT_RULES: RegistryRules = {
  version: 'current',
  bucketOverrides: {},
  maxSeries: 10_000,
  warn: () => {},
};

const DEFAULT_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Families under constant labels. A name may be registered once; hidden families take writes and never show. */
export class Registry {
  readonly rules: RegistryRules;
  readonly labels: ConstantLabels;
  readonly #reserved: ReadonlySet<string>;
  readonly #names = new Set<string>();
  readonly #families: Family[] = [];

  /** `reserved` are label names that families here may not declare. */
  constructor(
    rules: Partial<RegistryRules> = {},
    labels: ConstantLabels = {},
    reserved: Iterable<string> = [],
  ) {
    this.rules = { ...DEFAULT_RULES, ...rules };
    this.labels = labels;
    this.#reserved = new Set(reserved);
  }

  counter<L extends string>(spec: CounterSpec<L>): Family<L, Counter> {
    return this.#register<L, Counter>(spec);
  }

  gauge<L extends string>(spec: GaugeSpec<L>): Family<L, Gauge> {
    return this.#register<L, Gauge>(spec);
  }

  /** Without buckets of its own the family has 0.005 ... 10. */
  histogram<L extends string>(spec: HistogramSpec<L>): Family<L, Histogram> {
    return this.#register<L, Histogram>(spec);
  }

  /** The families that are exposed, in order of registration. */
  get families(): readonly Family[] {
    return this.#families;
  }

  /** Drops every series of every family whose label has the value. */
  removeSeries(label: string, value: string): number {
    return this.#families.reduce((sum, family) => sum + family.removeWhere({ [label]: value }), 0);
  }

  #register<L extends string, C extends Child>(spec: FamilySpec<L>): Family<L, C> {
    this.#check(spec);
    const { version, bucketOverrides, warn, maxSeries } = this.rules;
    const old = version === '1.0.2';
    const buckets = (old ? spec.oldBuckets : undefined) ?? spec.buckets ?? DEFAULT_BOUNDS;
    const bounds = spec.type === 'histogram' ? resolveBuckets(buckets, bucketOverrides, warn) : [];
    checkBounds(spec.name, bounds);
    const family = new Family<L, C>(spec, this.#constantsFor(spec), bounds, maxSeries);
    this.#names.add(spec.name);
    if (!(old && spec.since !== undefined)) this.#families.push(family as unknown as Family);
    return family;
  }

  #constantsFor(spec: FamilySpec): ConstantLabels {
    if (spec.instanceLabel !== false) return this.labels;
    const { worker_id: _, ...rest } = this.labels;
    return rest;
  }

  #check(spec: FamilySpec): void {
    const { name, labels } = spec;
    const refuse = (reason: string, mend: string) => fail('KV_METRIC_INVALID', { name, reason, mend });
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name))
      throw refuse('is not a metric name', 'Pass it through sanitiseMetricName.');
    if (this.#names.has(name))
      throw refuse('is registered already', 'Register it once and share the family.');
    if (spec.buckets !== undefined && spec.type !== 'histogram')
      throw refuse(`is a ${spec.type} and cannot have buckets`, 'Leave the buckets out.');
    for (const [i, label] of labels.entries()) {
      if (!/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) || (label === 'le' && spec.type === 'histogram'))
        throw refuse(`${JSON.stringify(label)} is not a label name`, 'Pass it through sanitiseLabel.');
      if (this.#reserved.has(label) || Object.hasOwn(this.labels, label))
        throw refuse(`label ${label} is set by the hierarchy`, 'Choose another label name.');
      if (labels.indexOf(label) !== i) throw refuse(`label ${label} is listed twice`, 'List it once.');
    }
  }
}
