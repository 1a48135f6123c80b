import { readFileSync } from 'node:fs';
import type { Prometheus, RecordingRule } from './prometheus.ts';

/** A query that some consumer of the metrics sends, as the catalogue has it. */
export interface ConsumerQuery {
  readonly id: string;
  readonly expr: string;
  readonly api: string;
  readonly scope: 'core' | 'planner' | 'kvbm' | 'engine' | 'external';
  readonly needs: readonly string[];
  readonly expect: string;
  /** Series of exporters that are not ours. */
  readonly external_series?: readonly string[];
  readonly variables?: Readonly<Record<string, string | readonly string[]>>;
}

export interface ConsumerCatalogue {
  readonly consumer_queries: readonly ConsumerQuery[];
  readonly recording_rules: readonly RecordingRule[];
  readonly engine_names_not_specified: readonly { readonly name: string; readonly type: string }[];
  readonly metrics: readonly { readonly name: string; readonly type: string; readonly tier: string }[];
}

export function readConsumerCatalogue(path: string): ConsumerCatalogue {
  return JSON.parse(readFileSync(path, 'utf8')) as ConsumerCatalogue;
}

/** The query with its variables filled in, once per value of a list. */
export function expressionsOf({ expr, variables = {} }: ConsumerQuery): readonly string[] {
  let expressions = [expr];
  for (const [variable, given] of Object.entries(variables)) {
    const values = typeof given === 'string' ? [given] : given;
    expressions = expressions.flatMap((text) => values.map((value) => text.replaceAll(variable, value)));
  }
  return expressions;
}

/** Runs a query as its consumer would; says what is wrong with the answer, or undefined if nothing is. */
export async function failureOf(
  prometheus: Prometheus,
  query: ConsumerQuery,
  leaveOut: (expression: string) => boolean = () => false,
): Promise<string | undefined> {
  for (const expression of expressionsOf(query)) {
    if (leaveOut(expression)) continue;
    const failure = await failureOfExpression(prometheus, query, expression);
    if (failure !== undefined) return `${query.id}: ${failure}: ${expression}`;
  }
  return undefined;
}

async function failureOfExpression(
  prometheus: Prometheus,
  query: ConsumerQuery,
  expression: string,
): Promise<string | undefined> {
  const [, series, label] = /^label_values\((.*), (\w+)\)$/s.exec(expression) ?? [];
  if (series !== undefined && label !== undefined) {
    const values = await prometheus.labelValues(label, series);
    return values.length > 0 ? undefined : 'no value';
  }
  const samples = await prometheus.query(expression);
  if (query.expect.startsWith('empty')) return samples.length === 0 ? undefined : 'should be empty';
  if (samples.length === 0) return 'empty';
  return samples.some(({ value }) => Number.isFinite(value)) ? undefined : 'no finite value';
}

/** Text of an engine that is not ours: one sample of every native family that the queries may name. */
export function foreignEngineText(catalogue: ConsumerCatalogue, round: number): string {
  const known = catalogue.metrics.filter(({ name }) => /^(sglang:|trtllm_)/.test(name));
  return [...known, ...catalogue.engine_names_not_specified]
    .map(({ name, type }) => `# TYPE ${name} ${type}\n${samplesOf(name, type, round)}`)
    .join('');
}

function samplesOf(name: string, type: string, round: number): string {
  if (type !== 'histogram') return `${name} ${type === 'counter' ? 10 * round : 1 + (round % 5)}\n`;
  const buckets = ['0.1', '1', '+Inf'].map((le) => `${name}_bucket{le="${le}"} ${5 * round}\n`);
  return `${buckets.join('')}${name}_sum ${0.25 * round}\n${name}_count ${5 * round}\n`;
}
