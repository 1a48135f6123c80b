import { toError } from '../base/errors.ts';
import type { PrometheusApi } from '../transport/prometheus-api.ts';
import type { DynamoMetricsConfig } from './config.ts';
import { type CollectedValues, enabledQueries, noValues } from './queries.ts';

/** A result as NeMo Agent Toolkit writes it: 25 values and three facts about them. */
export type NatResult = CollectedValues & {
  readonly collection_timestamp: number;
  readonly prometheus_url: string;
  readonly errors: readonly string[];
};

export interface CollectRun {
  readonly api: PrometheusApi;
  readonly nowS: () => number;
  readonly signal?: AbortSignal | undefined;
}

const RANGE_STEP_S = 15;
const DEFAULT_LOOKBACK_S = 600;

/**
 * Collects by the reference's rules, defects included: one query after the other, the first series of an instant
 * answer, else the mean of all non-zero samples of a range.
 */
export async function collectNat(config: DynamoMetricsConfig, run: CollectRun): Promise<NatResult> {
  const values = noValues();
  const errors: string[] = [];
  for (const { field, promql } of enabledQueries(config)) {
    const query = promql.replaceAll('{range}', config.query_range);
    try {
      values[field] = await natValue(query, config, run);
    } catch (thrown) {
      run.signal?.throwIfAborted();
      errors.push(`Failed to collect ${field}: ${toError(thrown).message}`);
    }
  }
  return { ...values, collection_timestamp: run.nowS(), prometheus_url: run.api.url, errors };
}

/** One metric: the instant answer, or the range's mean when that is empty, zero or unreadable. */
export async function natValue(
  query: string,
  config: Pick<
    DynamoMetricsConfig,
    'workflow_start_timestamp' | 'workflow_end_timestamp' | 'lookback_seconds'
  >,
  { api, nowS, signal }: CollectRun,
): Promise<number | null> {
  const answer = await api.get('api/v1/query', { query }, signal);
  if (answer.status >= 400) throw new Error(`HTTP ${answer.status}`);
  const instant = instantValue(answer.body);
  if (instant !== undefined) return instant;
  const { startS, endS } = natWindow(config, nowS());
  const parameters = { query, start: String(startS), end: String(endS), step: `${RANGE_STEP_S}s` };
  try {
    const range = await api.get('api/v1/query_range', parameters, signal);
    return range.status >= 400 ? null : rangeMean(range.body);
  } catch {
    // The reference swallows whatever goes wrong here.
    signal?.throwIfAborted();
    return null;
  }
}

/** Window of the range queries, in Unix seconds. An end without a start is ignored. */
export function natWindow(
  config: Pick<
    DynamoMetricsConfig,
    'workflow_start_timestamp' | 'workflow_end_timestamp' | 'lookback_seconds'
  >,
  nowS: number,
): { readonly startS: number; readonly endS: number } {
  const { workflow_start_timestamp: start, workflow_end_timestamp: end, lookback_seconds: lookback } = config;
  if (start !== null) return { startS: start, endS: end === null ? nowS : end + RANGE_STEP_S };
  return { startS: nowS - (lookback > 0 ? lookback : DEFAULT_LOOKBACK_S), endS: nowS };
}

/** Undefined when the range has to be asked. */
function instantValue(body: unknown): number | undefined {
  const { status, data } = (body ?? {}) as { status?: unknown; data?: { result?: unknown } };
  if (status !== 'success') return undefined;
  const result = data?.result;
  if (!Array.isArray(result)) throw new Error('the answer holds no result list');
  if (result.length === 0) return undefined;
  const first: unknown = result[0];
  if (typeof first !== 'object' || first === null) throw new Error('the result is not a vector');
  const value = floatOf((first as { value?: readonly unknown[] }).value?.[1]);
  return Number.isNaN(value) || value === 0 ? undefined : value;
}

function rangeMean(body: unknown): number | null {
  const { status, data } = (body ?? {}) as {
    status?: unknown;
    data?: { result?: readonly { values?: readonly (readonly unknown[])[] }[] };
  };
  if (status !== 'success') return null;
  let sum = 0;
  let count = 0;
  for (const { values } of data?.result ?? [])
    for (const sample of values ?? []) {
      const value = floatOf(sample[1]);
      if (Number.isNaN(value) || value === 0) continue;
      sum += value;
      count++;
    }
  return count === 0 ? null : sum / count;
}

/** NaN also for what is no number. */
export function floatOf(raw: unknown): number {
  const text = String(raw).trim();
  const infinite = /^([+-]?)inf(inity)?$/i.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
}

/** What the reference calls healthy: a series of `up` counts even when its target is down. */
export async function natHealth({ api, signal }: CollectRun): Promise<{
  readonly prometheus: boolean;
  readonly frontend: boolean;
  readonly worker: boolean;
}> {
  const down = { prometheus: false, frontend: false, worker: false };
  try {
    if ((await api.get('-/healthy', {}, signal)).status !== 200) return down;
    const { body } = await api.get('api/v1/query', { query: 'up{job=~".*dynamo.*"}' }, signal);
    const result = (body as { data?: { result?: readonly unknown[] } } | undefined)?.data?.result ?? [];
    return { prometheus: true, frontend: result.length > 0, worker: result.length > 0 };
  } catch {
    signal?.throwIfAborted();
    return down;
  }
}
