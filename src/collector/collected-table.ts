import type { Collected, Part } from './collector.ts';
import type { CollectedField } from './queries.ts';

interface Row {
  readonly title: string;
  readonly field: CollectedField;
  readonly unit: string;
  readonly factor?: number;
}

const ROWS: readonly Row[] = [
  { title: 'TTFT p50', field: 'ttft_p50', unit: 'ms', factor: 1000 },
  { title: 'TTFT p95', field: 'ttft_p95', unit: 'ms', factor: 1000 },
  { title: 'TTFT p99', field: 'ttft_p99', unit: 'ms', factor: 1000 },
  { title: 'ITL p50', field: 'itl_p50', unit: 'ms', factor: 1000 },
  { title: 'ITL p95', field: 'itl_p95', unit: 'ms', factor: 1000 },
  { title: 'ITL p99', field: 'itl_p99', unit: 'ms', factor: 1000 },
  { title: 'requests', field: 'requests_per_minute', unit: '/min' },
  { title: 'output tokens', field: 'token_throughput', unit: '/s' },
  { title: 'in flight, frontend', field: 'inflight_requests_frontend', unit: '' },
  { title: 'in flight, workers', field: 'inflight_requests_worker', unit: '' },
  { title: 'queued', field: 'queued_requests', unit: '' },
  { title: 'KV cache used', field: 'kv_cache_usage_percent', unit: '%' },
  { title: 'hit rate, SGLang', field: 'kv_cache_hit_rate_sglang', unit: '%', factor: 100 },
  { title: 'hit rate, Dynamo', field: 'kv_cache_hit_rate_dynamo', unit: '%', factor: 100 },
  { title: 'SGLang running', field: 'sglang_running_requests', unit: '' },
  { title: 'SGLang queued', field: 'sglang_queue_depth', unit: '' },
  { title: 'SGLang tokens', field: 'sglang_gen_throughput', unit: '/s' },
  { title: 'routed by Thompson', field: 'thompson_routing_decisions_rate', unit: '/s' },
];

/** A result for people: what is known, one line each, then what to know about it. */
export function collectedTable(result: Collected): readonly string[] {
  const { window, core, kve, scrape_gaps: gaps, faults, custom } = result;
  const lines = [
    `${result.prometheus_url}  ${clock(window.start)} to ${clock(window.end)} (${figure(window.seconds)} s)`,
    line('KV efficiency', core.kv_efficiency, '%', 100, kve.source === null ? [] : [`from ${kve.source}`]),
  ];
  for (const reading of kve.readings.slice(1))
    lines.push(`${''.padEnd(22)}${`${figure(100 * reading.value)} %`.padStart(14)}  ${reading.source}`);
  for (const { title, field, unit, factor = 1 } of ROWS)
    if (result[field] !== null)
      lines.push(line(title, result[field], unit, factor, parts(result.breakdown[field], factor)));
  for (const [name, { value, series }] of Object.entries(custom))
    lines.push(line(name, value, '', 1, parts(series.length > 1 ? series : undefined, 1)));
  lines.push(line('score', core.score, ''));
  const failed = new Set(faults.map(({ metric }) => metric));
  const absent = ROWS.filter(({ field }) => result[field] === null && !failed.has(field)).map(
    ({ title }) => title,
  );
  if (absent.length > 0) lines.push(`no series: ${absent.join(', ')}`);
  for (const { source, above_one } of kve.readings)
    if (above_one) lines.push(`! ${source} counts more cached tokens than prompt tokens`);
  for (const { job, instance, from, to, reason } of gaps)
    lines.push(`! ${job} ${instance} ${reason} from ${clock(from)} to ${clock(to)}`);
  lines.push(...faultLines(faults));
  return lines;
}

/** What went wrong, once for all metrics that it happened to. */
function faultLines(faults: Collected['faults']): readonly string[] {
  const metrics = new Map<string, string[]>();
  for (const { metric, message } of faults) metrics.set(message, [...(metrics.get(message) ?? []), metric]);
  return [...metrics].map(
    ([message, of]) => `! ${of.length > 2 ? `${of.length} metrics` : of.join(', ')}: ${message}`,
  );
}

const MAX_PARTS = 4;

function parts(of: readonly Part[] | undefined, factor: number): readonly string[] {
  if (of === undefined) return [];
  const shown = of
    .slice(0, MAX_PARTS)
    .map(({ labels, value }) => `${nameOf(labels)} ${figure(factor * value)}`);
  return of.length > MAX_PARTS ? [...shown, `and ${of.length - MAX_PARTS} more`] : shown;
}

function nameOf(labels: Readonly<Record<string, string>>): string {
  return labels.worker_id ?? labels.instance ?? labels.model ?? JSON.stringify(labels);
}

function line(
  title: string,
  value: number | null,
  unit: string,
  factor = 1,
  notes: readonly string[] = [],
): string {
  const shown = value === null ? '-' : `${figure(value * factor)} ${unit}`.trimEnd();
  return `${title.padEnd(22)}${shown.padStart(14)}${notes.length > 0 ? `  ${notes.join(', ')}` : ''}`;
}

function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

function clock(atS: number): string {
  return new Date(atS * 1000).toISOString().slice(11, 19);
}
