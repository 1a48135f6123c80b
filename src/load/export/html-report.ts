import { percentileOf, type Summary } from '../../math/summary.ts';
import { escapeText } from '../../plot/svg.ts';
import { type XyChart, type XyPoint, xyChart } from '../../plot/xy-chart.ts';
import type { LoadReport } from '../measure/report.ts';
import { contentTimes } from '../measure/timings.ts';
import { inputTokens, type LoadRun, type RequestRecord } from '../record.ts';

const CHART = { width: 760, height: 420 } as const;
const MAX_POINTS = 400;
/** Shorter gaps are of chunks that came in one packet. */
const SHORTEST_MS = 0.05;
const PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9] as const;

/** One HTML file with tables and pictures; it loads nothing, so it can be mailed and archived. */
export function htmlReport(
  run: LoadRun,
  report: LoadReport,
  summary: Readonly<Record<string, unknown>>,
): string {
  const charts = [
    cdfChart(report),
    itlHistogram(report),
    inFlightChart(run),
    lagChart(report),
    kveChart(report),
  ];
  const model = String(summary.model_id ?? '');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Load test of ${escapeText(model)}</title>
<style>
body { font: 15px/1.5 Inter, system-ui, sans-serif; color: #101828; max-width: 1560px; margin: 32px auto; padding: 0 24px; }
h1 { font-size: 24px; } h2 { font-size: 18px; margin-top: 32px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 4px 14px; border-bottom: 1px solid #e7eaf0; text-align: right; } td:first-child, th:first-child { text-align: left; }
.charts { display: flex; flex-wrap: wrap; gap: 16px; } .charts svg { max-width: 100%; height: auto; }
.invalid { color: #b42318; font-weight: 600; } .note { color: #475467; }
</style>
</head>
<body>
<h1>Load test of ${escapeText(model)}</h1>
<p class="note">${escapeText(String(summary.url ?? ''))} · ${escapeText(String(summary.date ?? ''))} · ${report.loop} loop · ${report.counts.completed} of ${report.counts.planned} requests completed in ${report.durationS.toFixed(1)} s</p>
${verdictLine(report)}
<h2>Latencies (ms)</h2>
${latencyTable(report)}
<p class="note">Definitions: ${escapeText(definitionText(report))}</p>
<h2>Totals</h2>
${totalsTable(report)}
<h2>Pictures</h2>
<div class="charts">${charts.join('\n')}</div>
<h2>Result for programs</h2>
<details><summary>JSON</summary><pre>${escapeText(JSON.stringify(summary, null, 2))}</pre></details>
</body>
</html>
`;
}

function verdictLine({ verdict, interrupted }: LoadReport): string {
  const stopped = interrupted ? '<p class="invalid">The run was stopped early.</p>' : '';
  if (verdict.valid) return `${stopped}<p>The run is valid: the load generator kept up.</p>`;
  return `${stopped}<p class="invalid">The run is invalid: ${escapeText(verdict.reasons.join('; '))}.</p>`;
}

function definitionText({ convention, completed }: LoadReport): string {
  const spread = completed.some((record) => record.tokenSource === 'spread')
    ? ' The server batches tokens without saying how many came in each chunk: they were spread evenly.'
    : '';
  const own =
    'TTFT from the send to the first chunk with content; TPOT (last − first content) / (tokens − 1); ITL single gaps, that of a chunk of n tokens split n ways; E2EL from the send to the last content.';
  return `${convention === 'kvasir' ? own : `those of ${convention}.`} Statistics are of completed requests.${spread}`;
}

function latencyTable({ latencies, fromIntended }: LoadReport): string {
  const rows: [string, Summary | undefined][] = [
    ['TTFT', latencies.ttft],
    ['TPOT', latencies.tpot],
    ['ITL', latencies.itl],
    ['E2EL', latencies.e2el],
    ['TTFT from due time', fromIntended?.ttft],
    ['E2EL from due time', fromIntended?.e2el],
  ];
  const head = ['', 'n', 'mean', 'std', 'min', ...PERCENTILES.map((p) => `p${p}`), 'max'];
  const body = rows.flatMap(([name, summary]) =>
    summary === undefined ? [] : [tableRow([name, String(summary.count), ...statistics(summary)])],
  );
  return `<table><tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr>${body.join('')}</table>`;
}

function statistics(summary: Summary): string[] {
  const { mean, std, min, max, count } = summary;
  // A percentile beyond what the sample can tell would only repeat the maximum.
  const told = PERCENTILES.map((p) =>
    p > 50 && count < 10 / (1 - p / 100) && p > 99 ? '–' : percentileOf(summary, p).toFixed(2),
  );
  return [mean.toFixed(2), std.toFixed(2), min.toFixed(2), ...told, max.toFixed(2)];
}

function totalsTable(report: LoadReport): string {
  const { cache, goodput, sendLag, intervals } = report;
  const percent = (share: number | undefined): string =>
    share === undefined ? 'not told' : `${(share * 100).toFixed(2)} %`;
  const range = (of: { low: number; high: number } | undefined): string =>
    of === undefined ? '–' : `${of.low.toFixed(2)} .. ${of.high.toFixed(2)}`;
  const rows: [string, string][] = [
    ['Requests per second', report.requestsPerS.toFixed(2)],
    ['Output tokens per second', report.outputTokensPerS.toFixed(2)],
    ['Total tokens per second', report.totalTokensPerS.toFixed(2)],
    ['KVE, cached / prompt tokens', percent(cache.kve)],
    [
      'Best possible KVE (infinite shared cache)',
      cache.theoreticalKve === undefined ? '–' : percent(cache.theoreticalKve),
    ],
    ['Good requests', goodput === undefined ? 'no goals set' : percent(goodput.share)],
    ['Send lag p99 (ms)', sendLag === undefined ? 'closed loop' : sendLag.p99Ms.toFixed(2)],
    ['TTFT median, 95 % interval (ms)', range(intervals.ttftP50)],
    ['TTFT p99, 95 % interval (ms)', range(intervals.ttftP99)],
    [
      'Failed, cancelled, dropped',
      `${report.counts.failed}, ${report.counts.cancelled}, ${report.counts.dropped}`,
    ],
  ];
  return `<table>${rows.map(tableRow).join('')}</table>`;
}

function tableRow(cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}</tr>`;
}

function cdfChart({ latencies }: LoadReport): string {
  const series = [
    { name: 'TTFT', draw: 'line' as const, points: cdf(latencies.ttft) },
    { name: 'ITL', draw: 'line' as const, points: cdf(latencies.itl) },
    { name: 'E2EL', draw: 'line' as const, points: cdf(latencies.e2el) },
  ];
  return chart({
    title: 'Share of requests (gaps) below',
    x: { label: 'ms', log: true },
    y: { label: 'share', domain: [0, 1] },
    series,
  });
}

function cdf(summary: Summary | undefined): XyPoint[] {
  if (summary === undefined) return [];
  const steps = Math.min(summary.count, MAX_POINTS);
  return Array.from({ length: steps }, (_, i) => {
    // From the first percentile on: a few gaps of microseconds would stretch the axis by decades.
    const share = steps === 1 ? 1 : 0.01 + (0.99 * i) / (steps - 1);
    return { x: Math.max(SHORTEST_MS, percentileOf(summary, share * 100)), y: share };
  });
}

/** Logarithmic bins: gaps span from microseconds to seconds. */
function itlHistogram({ latencies }: LoadReport): string {
  const counts = new Map<number, number>();
  for (const gap of latencies.itl?.sorted ?? []) {
    const bin = Math.round(Math.log10(Math.max(gap, SHORTEST_MS)) * 20);
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  const points = [...counts]
    .sort(([a], [b]) => a - b)
    .map(([bin, count]) => ({ x: 10 ** (bin / 20), y: count }));
  const series = [{ name: 'gaps', draw: 'line+points' as const, points }];
  return chart({
    title: 'Inter-token latency',
    x: { label: 'ms', log: true },
    y: { label: 'gaps', log: true },
    series,
  });
}

function inFlightChart(run: LoadRun): string {
  const steps = run.records
    .filter((record) => record.outcome !== 'dropped')
    .flatMap((record) => [
      { atMs: record.sentMs, by: 1 },
      { atMs: record.endMs, by: -1 },
    ])
    .sort((a, b) => a.atMs - b.atMs);
  let open = 0;
  const points = steps.flatMap(({ atMs, by }) => {
    open += by;
    const x = atMs / 1000;
    return [
      { x, y: open - by },
      { x, y: open },
    ];
  });
  const series = [{ name: 'in flight', draw: 'line' as const, points: thinned(points) }];
  return chart({ title: 'Requests in flight', x: { label: 's' }, y: { label: 'requests' }, series });
}

function lagChart({ records, loop }: LoadReport): string {
  if (loop === 'closed') return '';
  const points = records.flatMap((record) =>
    record.intendedMs === undefined
      ? []
      : [{ x: record.intendedMs / 1000, y: record.sentMs - record.intendedMs }],
  );
  const series = [{ name: 'lag', draw: 'points' as const, points: thinned(points) }];
  return chart({ title: 'Send lag', x: { label: 'due, s' }, y: { label: 'ms' }, series });
}

/** Running KVE and TTFT-relevant reuse over time, against what an infinite cache could reach. */
function kveChart({ completed, cache }: LoadReport): string {
  if (cache.kve === undefined) return '';
  let cached = 0;
  let prompt = 0;
  const points = inOrderOfFirstToken(completed).map((record) => {
    cached += record.usage?.cachedTokens ?? 0;
    prompt += inputTokens(record);
    return { x: record.sentMs / 1000, y: prompt > 0 ? cached / prompt : 0 };
  });
  const rules =
    cache.theoreticalKve === undefined
      ? []
      : [{ axis: 'y' as const, value: cache.theoreticalKve, label: 'best possible over the whole run' }];
  const series = [{ name: 'KVE so far', draw: 'line' as const, points: thinned(points) }];
  return chart({
    title: 'KV efficiency',
    x: { label: 's' },
    y: { label: 'cached / prompt tokens', domain: [0, 1] },
    series,
    rules,
  });
}

function inOrderOfFirstToken(completed: readonly RequestRecord[]): readonly RequestRecord[] {
  const first = (record: RequestRecord): number => contentTimes(record)[0] ?? record.endMs;
  return [...completed].sort((a, b) => first(a) - first(b));
}

/** Every n-th point, the extremes of each stretch kept, so that peaks survive. */
function thinned(points: readonly XyPoint[]): readonly XyPoint[] {
  if (points.length <= MAX_POINTS) return points;
  const stretch = Math.ceil((2 * points.length) / MAX_POINTS);
  const kept: XyPoint[] = [];
  for (let from = 0; from < points.length; from += stretch) {
    const part = points.slice(from, from + stretch);
    const low = part.reduce((a, b) => (b.y < a.y ? b : a));
    const high = part.reduce((a, b) => (b.y > a.y ? b : a));
    kept.push(...(low.x <= high.x ? [low, high] : [high, low]));
  }
  return kept;
}

function chart(spec: XyChart): string {
  return xyChart({ ...CHART, ...spec });
}
