import type { BucketRule } from './buckets.ts';

export type FamilyType = 'counter' | 'gauge' | 'histogram';

/** Upper bounds in ascending order (`+Inf` is implied), or a rule that operators may override. */
export type Buckets = readonly number[] | BucketRule;

/** What a metric family is called on the wire and how it is laid out; data, not an instrument. */
export interface FamilySpec<L extends string = string, T extends FamilyType = FamilyType> {
  readonly name: string;
  readonly type: T;
  readonly help: string;
  /** Variable labels; those that the hierarchy adds are not listed. */
  readonly labels: readonly L[];
  readonly buckets?: Buckets;
  /** Buckets under `--metrics-compat 1.0.2`, where they differ. */
  readonly oldBuckets?: Buckets;
  /** First Dynamo version with this family, given only when later than 1.0.2, which then hides it. */
  readonly since?: string;
  /** False for families that predate the automatic `worker_id` label. */
  readonly instanceLabel?: boolean;
}

export type CounterSpec<L extends string = string> = FamilySpec<L, 'counter'>;
export type GaugeSpec<L extends string = string> = FamilySpec<L, 'gauge'>;
export type HistogramSpec<L extends string = string> = FamilySpec<L, 'histogram'>;

type Extra = Pick<FamilySpec, 'since' | 'oldBuckets' | 'instanceLabel'>;

export function counter<const L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
  extra: Extra = {},
): CounterSpec<L> {
  return { name, type: 'counter', help, labels, ...extra };
}

export function gauge<const L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
  extra: Extra = {},
): GaugeSpec<L> {
  return { name, type: 'gauge', help, labels, ...extra };
}

export function histogram<const L extends string = never>(
  name: string,
  help: string,
  buckets: Buckets,
  labels: readonly L[] = [],
  extra: Extra = {},
): HistogramSpec<L> {
  return { name, type: 'histogram', help, buckets, labels, ...extra };
}
