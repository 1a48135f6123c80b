import { fileURLToPath } from 'node:url';
import { parseGoals } from '../load/measure/goodput.ts';
import { type LoadReport, reportOf } from '../load/measure/report.ts';
import { OpenAiTarget } from '../load/openai-target.ts';
import { PromptWriter } from '../load/prompt-words.ts';
import type { LoadProgress } from '../load/run-load.ts';
import { runLoad } from '../load/run-load.ts';
import { tracePlan } from '../load/trace-plan.ts';
import { percentileOf, type Summary } from '../math/summary.ts';
import { readTraceFile } from '../transport/trace-file.ts';

/** The trace that ships with the program; how it was made: scripts/demo-trace.ts. */
export const DEMO_TRACE = fileURLToPath(new URL('../../assets/traces/demo.jsonl', import.meta.url));

/** What a request must keep to count as good. */
export const DEMO_GOALS = ['ttft:500', 'tpot:25'];
const IDS = { first: 32, size: 95 };

/** Replays the shipped trace against a server at its own pace. */
export async function runDemoTrace(
  url: string,
  model: string,
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
): Promise<LoadReport> {
  const plan = tracePlan(await readTraceFile(DEMO_TRACE));
  const writer = new PromptWriter({ seed: 1, ids: IDS });
  const target = new OpenAiTarget({
    url,
    writer,
    model,
    form: 'token-ids',
    ignoreEos: true,
    continuousUsage: false,
    extra: {},
  });
  try {
    const run = await runLoad(plan, target, { signal, onRecord: (_, progress) => onProgress(progress) });
    return reportOf(run, { goals: parseGoals(DEMO_GOALS) });
  } finally {
    await target.stop();
  }
}

interface Column {
  readonly title: string;
  readonly value: (report: LoadReport) => string;
}

const ms = (summary: Summary | undefined, p: number): string =>
  summary === undefined ? '-' : percentileOf(summary, p).toFixed(1);
const COLUMNS: readonly Column[] = [
  { title: 'requests', value: ({ counts }) => `${counts.completed}` },
  {
    title: 'KVE',
    value: ({ cache }) => (cache.kve === undefined ? '-' : `${(100 * cache.kve).toFixed(1)} %`),
  },
  ...[50, 95, 99].map((p) => ({
    title: `TTFT p${p}`,
    value: ({ latencies }: LoadReport) => ms(latencies.ttft, p),
  })),
  ...[50, 95].map((p) => ({
    title: `ITL p${p}`,
    value: ({ latencies }: LoadReport) => ms(latencies.itl, p),
  })),
  { title: 'output tok/s', value: ({ outputTokensPerS }) => outputTokensPerS.toFixed(0) },
  {
    title: 'goodput',
    value: ({ goodput }) => (goodput === undefined ? '-' : `${(100 * goodput.share).toFixed(1)} %`),
  },
];

/** One row a routing mode; latencies in ms. */
export function comparisonTable(reports: readonly (readonly [string, LoadReport])[]): string {
  const rows = [
    ['', ...COLUMNS.map(({ title }) => title)],
    ...reports.map(([mode, report]) => [mode, ...COLUMNS.map(({ value }) => value(report))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  '),
    )
    .join('\n');
}

/** The same comparison for programs. */
export function comparisonJson(reports: readonly (readonly [string, LoadReport])[]): object {
  const rows = reports.map(([mode, report]) => {
    const { ttft, itl } = report.latencies;
    const at = (summary: Summary | undefined, p: number): number | null =>
      summary === undefined ? null : percentileOf(summary, p);
    return {
      mode,
      requests: report.counts.completed,
      failed: report.counts.failed,
      kve: report.cache.kve ?? null,
      ttft_ms: { p50: at(ttft, 50), p95: at(ttft, 95), p99: at(ttft, 99) },
      itl_ms: { p50: at(itl, 50), p95: at(itl, 95) },
      output_tokens_per_s: report.outputTokensPerS,
      goodput: report.goodput?.share ?? null,
    };
  });
  return { event: 'demo', goals: DEMO_GOALS, rows };
}
