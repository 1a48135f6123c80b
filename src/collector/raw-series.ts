import { fail } from '../base/errors.ts';
import type { PrometheusApi } from '../transport/prometheus-api.ts';
import { floatOf } from './nat-collector.ts';

/** One series as scraped, oldest sample first; times in Unix seconds. */
export interface RawSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly timesS: number[];
  readonly values: number[];
}

/** Unix seconds. */
export interface Window {
  readonly startS: number;
  readonly endS: number;
}

// One answer holds at most half an hour of a family: 1800 samples of a series at one scrape a second.
const PIECE_S = 1800;
// Samples this old still tell a counter's value at the window's start (Prometheus' own limit of staleness).
const BEFORE_S = 300;
// And the first scrape after the window tells what was counted at its end.
const AFTER_S = 60;

/**
 * Every sample of a family in a window and at its edges, as stored: nothing is extrapolated or aligned. Asked for in
 * pieces, whose edges count once whatever side of a range the server leaves open.
 */
export async function rawSeries(
  api: PrometheusApi,
  family: string,
  { startS, endS }: Window,
  nowS: number,
  signal?: AbortSignal,
): Promise<readonly RawSeries[]> {
  const byLabels = new Map<string, RawSeries>();
  const lastS = Math.min(nowS, endS + AFTER_S);
  for (let fromS = startS - BEFORE_S; fromS < lastS; fromS += PIECE_S) {
    const toS = Math.min(fromS + PIECE_S, lastS);
    const query = `${family}[${Math.max(1, Math.round((toS - fromS) * 1000))}ms]`;
    const parameters = { query, time: String(toS) };
    append(byLabels, matrixOf(await queryData(api, parameters, signal)));
  }
  return [...byLabels.values()];
}

interface QueryData {
  readonly resultType?: string;
  readonly result?: unknown;
}

/** The data of one instant query; throws `KV_PROMETHEUS_REFUSED` for an answer that is no success. */
export async function queryData(
  api: PrometheusApi,
  parameters: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<QueryData> {
  const { status, body } = await api.get('api/v1/query', parameters, signal);
  const answer = (body ?? {}) as { status?: string; error?: string; data?: QueryData };
  if (answer.status === undefined) {
    const reason = `it answered ${status}, and not as Prometheus does`;
    throw fail('KV_PROMETHEUS_UNREACHABLE', { url: api.url, reason });
  }
  if (status >= 400 || answer.status !== 'success')
    throw fail('KV_PROMETHEUS_REFUSED', {
      url: api.url,
      query: parameters.query,
      reason: answer.error ?? `HTTP ${status}`,
    });
  return answer.data ?? {};
}

function matrixOf({ resultType, result }: QueryData): readonly {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}[] {
  if (resultType === 'matrix' && Array.isArray(result)) return result;
  throw fail('KV_PROMETHEUS_REFUSED', {
    url: 'Prometheus',
    query: 'a range of samples',
    reason: `a ${resultType ?? 'nameless'} result`,
  });
}

function append(into: Map<string, RawSeries>, pieces: ReturnType<typeof matrixOf>): void {
  for (const { metric, values } of pieces) {
    const key = JSON.stringify(Object.entries(metric).sort());
    let series = into.get(key);
    if (series === undefined) {
      series = { labels: metric, timesS: [], values: [] };
      into.set(key, series);
    }
    for (const [atS, text] of values) {
      if (series.timesS.length > 0 && atS <= series.timesS.at(-1)!) continue;
      series.timesS.push(atS);
      series.values.push(floatOf(text));
    }
  }
}
