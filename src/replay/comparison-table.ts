import type { Comparison, ModeSummary } from './comparison.ts';
import type { Estimate } from './interval.ts';

interface Column {
  readonly title: string;
  readonly figure: string;
  readonly digits: number;
  /** Multiplies the figure for display. */
  readonly scale?: number;
}

const COLUMNS: readonly Column[] = [
  { title: 'requests', figure: 'completed_requests', digits: 0 },
  { title: 'KVE %', figure: 'first_admission_prefix_cache_reused_ratio', digits: 1, scale: 100 },
  { title: 'TTFT mean', figure: 'mean_ttft_ms', digits: 0 },
  { title: 'p50', figure: 'median_ttft_ms', digits: 0 },
  { title: 'p95', figure: 'p95_ttft_ms', digits: 0 },
  { title: 'p99', figure: 'p99_ttft_ms', digits: 0 },
  { title: 'ITL p50', figure: 'median_itl_ms', digits: 1 },
  { title: 'p95', figure: 'p95_itl_ms', digits: 1 },
  { title: 'E2E mean', figure: 'mean_e2e_latency_ms', digits: 0 },
  { title: 'p95', figure: 'p95_e2e_latency_ms', digits: 0 },
  { title: 'out tok/s', figure: 'output_throughput_tok_s', digits: 0 },
  { title: 'goodput r/s', figure: 'goodput_request_throughput_rps', digits: 2 },
  { title: 'duration s', figure: 'duration_ms', digits: 1, scale: 1e-3 },
];

/** Modes side by side: mean over seeds, with the half-width of its 95 % interval; times in ms. */
export function comparisonTable(comparison: Comparison): readonly string[] {
  const columns = COLUMNS.filter(({ figure }) => comparison.modes.some(({ figures }) => figures[figure]));
  const rows = comparison.modes.map((summary) => [
    summary.mode,
    ...columns.map((column) => cell(summary.figures[column.figure], column)),
  ]);
  return [...aligned([['mode', ...columns.map(({ title }) => title)], ...rows]), ...ratioLines(comparison)];
}

/** Cells in columns: the first flush left, the others flush right. */
export function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)))
      .join('  '),
  );
}

function cell(value: Estimate | undefined, { digits, scale = 1 }: Column): string {
  if (value === undefined) return '-';
  const mean = (value.mean * scale).toFixed(digits);
  return value.halfWidth === undefined ? mean : `${mean} ±${(value.halfWidth * scale).toFixed(digits)}`;
}

function ratioLines({ baseline, best, modes }: Comparison): readonly string[] {
  return [
    ...modes.flatMap((summary) => ratioLine(summary, baseline)),
    ...modes.flatMap((summary) => regretLine(summary, best)),
  ];
}

function regretLine({ mode, regretMs, lateRegretMs }: ModeSummary, best: string): readonly string[] {
  if (regretMs === undefined || lateRegretMs === undefined || !Number.isFinite(regretMs.mean)) return [];
  const shown = ({ mean, halfWidth }: Estimate): string =>
    halfWidth === undefined ? mean.toFixed(0) : `${mean.toFixed(0)} ±${halfWidth.toFixed(0)}`;
  return [
    `${mode}: regret ${shown(regretMs)} ms a request against ${best}, ${shown(lateRegretMs)} ms in the second half`,
  ];
}

function ratioLine({ mode, ratios }: ModeSummary, baseline: string): readonly string[] {
  const p95 = ratios?.p95_ttft_ms;
  if (p95 === undefined || !Number.isFinite(p95.mean)) return [];
  const interval = p95.halfWidth === undefined ? '' : ` ±${p95.halfWidth.toFixed(3)}`;
  return [`${mode}: TTFT p95 is ${p95.mean.toFixed(3)}${interval} of ${baseline}'s`];
}
