import { percentileLinear } from '../../math/percentile.ts';
import { summarize } from '../../math/summary.ts';
import type { Goals } from '../measure/goodput.ts';
import type { LoadRun, RequestRecord } from '../record.ts';
import { type MetricValue, recordMetrics, runMetrics } from './aiperf-metrics.ts';

/** Statistics of one metric over requests, keys in aiperf's order. */
interface MetricStatistics {
  readonly unit: string;
  readonly [statistic: string]: number | string;
}

const PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 95, 99] as const;

/** The summary of `profile_export_aiperf.json`, by aiperf's definitions. */
export function aiperfJson(
  run: LoadRun,
  options: { readonly goals?: Goals | undefined; readonly inputConfig: Readonly<Record<string, unknown>> },
): Record<string, unknown> {
  const single = Object.entries(runMetrics(run, options.goals)).map(([tag, { value, unit }]) => [
    tag,
    { unit, avg: value },
  ]);
  const failed = measured(run).filter((record) => record.outcome !== 'completed');
  return {
    schema_version: '1.5',
    ...statisticsByTag(run),
    ...Object.fromEntries(single),
    input_config: options.inputConfig,
    run_info: { tool: 'kvasir bench', loop: run.loop, planned: run.planned },
    error_summary: errorSummary(failed),
    was_cancelled: run.interrupted,
    start_time: new Date(run.originWallMs).toISOString(),
    end_time: new Date(run.originWallMs + run.durationMs).toISOString(),
  };
}

/** `profile_export_aiperf.csv`: statistics by tag, a blank line, then the single numbers. */
export function aiperfCsv(run: LoadRun, options: { readonly goals?: Goals | undefined } = {}): string {
  const columns = ['avg', 'min', 'max', ...PERCENTILES.map((p) => `p${p}`), 'std'];
  const rows = Object.entries(statisticsByTag(run))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, values]) =>
      [title(tag, values.unit), ...columns.map((column) => Number(values[column]).toFixed(2))].join(','),
    );
  const singles = Object.entries(runMetrics(run, options.goals))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tag, { value, unit }]) => `${title(tag, unit)},${Number(value).toFixed(2)}`);
  return `${[['Metric', ...columns].join(','), ...rows, '', 'Metric,Value', ...singles].join('\n')}\n`;
}

/** One line of `profile_export.jsonl`. */
export function aiperfRecordLine(run: LoadRun, record: RequestRecord): string {
  const ns = (ms: number | undefined): number | null =>
    ms === undefined ? null : Math.round((run.originWallMs + ms) * 1e6);
  const completed = record.outcome === 'completed';
  return JSON.stringify({
    metadata: {
      session_num: record.index,
      x_request_id: record.id,
      x_correlation_id: record.sessionId,
      conversation_id: record.sessionId,
      turn_index: record.turn,
      request_start_ns: ns(record.sentMs),
      request_ack_ns: ns(record.headersMs),
      request_end_ns: ns(record.endMs),
      worker_id: record.worker ?? 'kvasir',
      record_processor_id: 'kvasir',
      benchmark_phase: record.phase === 'measure' ? 'profiling' : 'warmup',
      was_cancelled: record.outcome === 'cancelled',
      cancellation_time_ns: record.outcome === 'cancelled' ? ns(record.endMs) : null,
    },
    metrics: completed ? recordMetrics(record) : {},
    error: completed
      ? null
      : { code: record.status ?? null, type: record.outcome, message: record.error ?? '' },
  });
}

function measured(run: LoadRun): readonly RequestRecord[] {
  return run.records.filter((record) => record.phase === 'measure');
}

function statisticsByTag(run: LoadRun): Record<string, MetricStatistics> {
  const pooled = new Map<string, { readonly unit: string; readonly values: number[] }>();
  for (const record of measured(run)) {
    if (record.outcome !== 'completed') continue;
    for (const [tag, { value, unit }] of Object.entries(recordMetrics(record)))
      pool(pooled, tag, value, unit);
  }
  return Object.fromEntries([...pooled].map(([tag, { unit, values }]) => [tag, statistics(unit, values)]));
}

function pool(
  pooled: Map<string, { readonly unit: string; readonly values: number[] }>,
  tag: string,
  value: MetricValue['value'],
  unit: string,
): void {
  const entry = pooled.get(tag) ?? { unit, values: [] };
  pooled.set(tag, entry);
  if (typeof value === 'number') entry.values.push(value);
  else for (const item of value) entry.values.push(item);
}

function statistics(unit: string, values: readonly number[]): MetricStatistics {
  const { mean, min, max, std, count, sum, sorted } = summarize(values)!;
  const percentiles = PERCENTILES.map((p) => [`p${p}`, percentileLinear(sorted, p)!]);
  return { unit, avg: mean, min, max, ...Object.fromEntries(percentiles), std, count, sum };
}

function errorSummary(failed: readonly RequestRecord[]): readonly object[] {
  const counts = new Map<string, { readonly error_details: object; count: number }>();
  for (const record of failed) {
    const details = { code: record.status ?? null, type: record.outcome, message: record.error ?? '' };
    const key = JSON.stringify(details);
    const entry = counts.get(key) ?? { error_details: details, count: 0 };
    entry.count++;
    counts.set(key, entry);
  }
  return [...counts.values()];
}

/** `time_to_first_token` -> `Time To First Token (ms)`. */
function title(tag: string, unit: string): string {
  const words = tag.split('_').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return `${words.join(' ')} (${unit})`;
}
