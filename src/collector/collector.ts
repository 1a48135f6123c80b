import { KvasirError, toError } from '../base/errors.ts';
import { type DynamoMetricsConfig, durationSeconds } from './config.ts';
import { FamilyReader } from './family-reader.ts';
import { bornAtZero, increase, meanInWindow, quantileOf } from './increase.ts';
import { type KveReading, readKve } from './kve.ts';
import { MEASURES, type Measure } from './measures.ts';
import { type CollectRun, floatOf } from './nat-collector.ts';
import { type CollectedField, type CollectedValues, enabledQueries, noValues } from './queries.ts';
import { queryData, type RawSeries, type Window } from './raw-series.ts';
import { type CoreMetrics, coreMetrics, isComplete, optimizationScore } from './score.ts';
import { type ScrapeGap, scrapeGaps } from './scrape-gaps.ts';

export interface CustomMetric {
  readonly name: string;
  /** `{range}` stands for the length of the window. */
  readonly promql: string;
}

export interface CollectOptions extends CollectRun {
  readonly model?: string | undefined;
  readonly custom?: readonly CustomMetric[];
  /** For everything together. */
  readonly deadlineMs: number;
  /** Exchanges under way at once; 6 unless given. */
  readonly parallel?: number;
}

/** One series of a field, by what tells it from its siblings. */
export interface Part {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Why a metric has no value; `code` is a row of the error table. */
export interface MetricFault {
  readonly metric: string;
  readonly code: string;
  readonly message: string;
}

/** The reference's 28 fields, then what it has not. */
export type Collected = CollectedValues & {
  readonly collection_timestamp: number;
  readonly prometheus_url: string;
  readonly errors: readonly string[];
  readonly window: { readonly start: number; readonly end: number; readonly seconds: number };
  readonly core: CoreMetrics & { readonly complete: boolean; readonly score: number | null };
  /** What `core.kv_efficiency` was read from, and what every other source says. */
  readonly kve: { readonly source: KveReading['source'] | null; readonly readings: readonly KveReading[] };
  readonly breakdown: Readonly<Partial<Record<CollectedField, readonly Part[]>>>;
  readonly custom: Readonly<
    Record<string, { readonly value: number | null; readonly series: readonly Part[] }>
  >;
  readonly scrape_gaps: readonly ScrapeGap[];
  readonly faults: readonly MetricFault[];
};

const DEFAULT_PARALLEL = 6;
const FALLBACK_RANGE_S = 30;

/**
 * Measures one window: counters by their exact increase, quantiles by bucket increases, gauges by the mean of their
 * samples, summed over series where that means something. 0 is a value; null says that there is no such series.
 */
export async function collect(config: DynamoMetricsConfig, options: CollectOptions): Promise<Collected> {
  const { api, custom = [], deadlineMs, signal } = options;
  const nowS = options.nowS();
  const window = windowOf(config, nowS);
  const deadline = AbortSignal.timeout(deadlineMs);
  const reader = new FamilyReader({
    api,
    window,
    nowS,
    model: options.model,
    signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    parallel: options.parallel ?? DEFAULT_PARALLEL,
  });
  const faults: MetricFault[] = [];
  const attempt = async <T>(metric: string, work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch (thrown) {
      signal?.throwIfAborted();
      faults.push(faultOf(metric, deadline.aborted ? undefined : thrown, deadlineMs));
      return undefined;
    }
  };
  const values = noValues();
  const breakdown: Partial<Record<CollectedField, readonly Part[]>> = {};
  const measured = enabledQueries(config).map(async ({ field }) => {
    const reading = await attempt(field, measure(reader, MEASURES[field], window));
    if (reading === undefined) return;
    if (Number.isFinite(reading.value)) values[field] = reading.value;
    else faults.push({ metric: field, code: 'NOT_FINITE', message: `the value is ${reading.value}` });
    if (reading.parts.length > 1) breakdown[field] = reading.parts;
  });
  const asked = custom.map(
    async (metric) =>
      [metric.name, await attempt(metric.name, evaluate(reader, metric, window, options))] as const,
  );
  const reading = config.collect_kv_cache ? attempt('kv_efficiency', readKve(reader, window)) : undefined;
  const up = attempt('up', reader.read('up'));
  // All at once: an abort must find a waiter for each.
  const [answers, kve, gaps] = await Promise.all([Promise.all(asked), reading, up, Promise.all(measured)]);
  const extras = answers.filter(([, answer]) => answer !== undefined);
  const best = kve?.[0];
  const core = { ...coreMetrics(values), kv_efficiency: best?.value ?? null };
  return {
    ...values,
    collection_timestamp: nowS,
    prometheus_url: api.url,
    errors: faults.map(({ metric, message }) => `Failed to collect ${metric}: ${message}`),
    window: { start: window.startS, end: window.endS, seconds: window.endS - window.startS },
    core: { ...core, complete: isComplete(core), score: optimizationScore(core) },
    kve: { source: best?.source ?? null, readings: kve ?? [] },
    breakdown,
    custom: Object.fromEntries(extras) as Collected['custom'],
    scrape_gaps: scrapeGaps(gaps ?? [], window),
    faults,
  };
}

/** The window to measure: as given; else up to now (or the given end), as long as the lookback or the query range. */
export function windowOf(
  {
    workflow_start_timestamp: start,
    workflow_end_timestamp: end,
    lookback_seconds: lookback,
    query_range: range,
  }: Pick<
    DynamoMetricsConfig,
    'workflow_start_timestamp' | 'workflow_end_timestamp' | 'lookback_seconds' | 'query_range'
  >,
  nowS: number,
): Window {
  const endS = end ?? nowS;
  const lengthS = lookback > 0 ? lookback : (durationSeconds(range) ?? FALLBACK_RANGE_S);
  return { startS: start ?? endS - lengthS, endS };
}

interface Reading {
  readonly value: number;
  readonly parts: readonly Part[];
}

async function measure(
  reader: FamilyReader,
  { kind, sources, q }: Measure,
  window: Window,
): Promise<Reading | undefined> {
  for (const { family, factor = 1 } of sources) {
    const series = await reader.read(family);
    if (series.length === 0) continue;
    const born = bornAtZero(series, await reader.scrapes());
    if (kind === 'quantile') return quantileReading(series, q ?? 0.5, window, born);
    const parts = partsOf(series, kind, window, factor, born);
    if (parts.length === 0) continue;
    const sum = parts.reduce((total, { value }) => total + value, 0);
    return { value: kind === 'mean' ? sum / parts.length : sum, parts };
  }
  return undefined;
}

function partsOf(
  family: readonly RawSeries[],
  kind: Measure['kind'],
  window: Window,
  factor: number,
  born: (series: RawSeries) => boolean,
): readonly Part[] {
  const lengthS = window.endS - window.startS;
  return family.flatMap((series) => {
    const grown = kind === 'rate' ? increase(series, window, born(series)) : meanInWindow(series, window);
    if (grown === undefined) return [];
    const value = kind === 'rate' ? (grown * factor) / lengthS : grown * factor;
    return [{ labels: namelessLabels(series.labels), value }];
  });
}

function quantileReading(
  family: readonly RawSeries[],
  q: number,
  window: Window,
  born: (series: RawSeries) => boolean,
): Reading | undefined {
  const buckets = new Map<number, number>();
  for (const series of family) {
    const grown = increase(series, window, born(series));
    const bound = floatOf(series.labels.le);
    if (grown !== undefined) buckets.set(bound, (buckets.get(bound) ?? 0) + grown);
  }
  const value = quantileOf(q, buckets);
  return value === undefined ? undefined : { value, parts: [] };
}

async function evaluate(
  reader: FamilyReader,
  { promql }: CustomMetric,
  { startS, endS }: Window,
  { api, signal }: CollectOptions,
): Promise<Collected['custom'][string]> {
  const query = promql.replaceAll('{range}', `${Math.max(1, Math.round((endS - startS) * 1000))}ms`);
  const { resultType, result } = await reader.inTurn(() =>
    queryData(api, { query, time: String(endS) }, signal),
  );
  if (resultType === 'scalar') return { value: floatOf((result as readonly unknown[])[1]), series: [] };
  const vector =
    resultType === 'vector' ? (result as { metric: Part['labels']; value: readonly unknown[] }[]) : [];
  const series = vector.map(({ metric, value }) => ({ labels: metric, value: floatOf(value[1]) }));
  return { value: series.length === 1 ? series[0]!.value : null, series };
}

function namelessLabels({ __name__, ...labels }: Readonly<Record<string, string>>): Part['labels'] {
  return labels;
}

function faultOf(metric: string, thrown: unknown, deadlineMs: number): MetricFault {
  if (thrown === undefined)
    return { metric, code: 'DEADLINE', message: `not read within ${deadlineMs} ms of collecting` };
  const error = thrown instanceof KvasirError ? thrown : toError(thrown);
  return { metric, code: error.code, message: error.message };
}
