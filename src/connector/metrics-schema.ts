import type { FamilyType } from '../metrics/spec.ts';
import { isAmount } from './column.ts';
import { isMap, type ReportDrop } from './stats.ts';
import type { TypedValues } from './typed-values.ts';

interface SchemaMetric {
  readonly name: string;
  readonly type: FamilyType;
  readonly help: string;
  readonly path: readonly string[];
  /** Whether a list of counts adds up to one. */
  readonly sums: boolean;
  readonly buckets: readonly number[] | undefined;
}

/** How each way of taking samples makes a metric. */
const KINDS: Readonly<Record<string, { readonly type: FamilyType; readonly sums?: true }>> = {
  'observe-each-float': { type: 'histogram' },
  'set-float': { type: 'gauge' },
  'inc-by-int': { type: 'counter' },
  'inc-by-float': { type: 'counter' },
  'inc-by-sum-int': { type: 'counter', sums: true },
};
const MAX_METRICS = 128;

/** What vLLM's payloads tell once of themselves (`_metrics_schema`): where which metric's samples are. */
export class MetricsSchema {
  readonly #metrics: readonly SchemaMetric[];

  private constructor(metrics: readonly SchemaMetric[]) {
    this.#metrics = metrics;
  }

  /** Undefined for what is no schema of version 1; metrics of other kinds are left out and reported. */
  static read(schema: unknown, report: ReportDrop): MetricsSchema | undefined {
    if (!isMap(schema) || schema.schema_version !== 1 || !Array.isArray(schema.metrics)) {
      report('unreadable_value');
      return undefined;
    }
    const metrics = schema.metrics.slice(0, MAX_METRICS).flatMap((metric: unknown) => {
      const known = readMetric(metric);
      if (known === undefined) report('unknown_key');
      return known ?? [];
    });
    return new MetricsSchema(metrics);
  }

  /** Adds the samples of a payload. */
  take(payload: Readonly<Record<string, unknown>>, values: TypedValues, report: ReportDrop): void {
    for (const { name, type, path, sums } of this.#metrics) {
      const found = valueAt(payload, path);
      if (found === undefined) continue;
      const list = Array.isArray(found) ? found : [found];
      const total = list.filter(isAmount).reduce((sum, each) => sum + each, 0);
      const value = type === 'histogram' ? list : sums ? total : found;
      values.add({ name, type, labels: [] }, value, report);
    }
  }

  help(name: string): string | undefined {
    return this.#metrics.find((metric) => metric.name === name)?.help;
  }

  buckets(name: string): readonly number[] | undefined {
    return this.#metrics.find((metric) => metric.name === name)?.buckets;
  }
}

function readMetric(metric: unknown): SchemaMetric | undefined {
  if (!isMap(metric)) return undefined;
  const { name, documentation, samples_path: path, sample_kind: sampleKind, buckets } = metric;
  const kind =
    typeof sampleKind === 'string' && Object.hasOwn(KINDS, sampleKind) ? KINDS[sampleKind] : undefined;
  if (typeof name !== 'string' || kind === undefined) return undefined;
  const ascending =
    Array.isArray(buckets) &&
    buckets.every((bound, i) => isAmount(bound) && (i === 0 || bound > buckets[i - 1]));
  return {
    name,
    type: kind.type,
    help: typeof documentation === 'string' ? documentation : name,
    path: typeof path === 'string' ? path.split('.') : Array.isArray(path) ? path.map(String) : [name],
    sums: kind.sums === true,
    buckets: ascending ? buckets : undefined,
  };
}

function valueAt(payload: unknown, path: readonly string[]): unknown {
  let at = payload;
  for (const key of path) at = isMap(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  return at;
}
