import { traceSessions } from '../../formats/traces/sessions.ts';
import type { Trace } from '../../formats/traces/trace.ts';
import { percentileLinear } from '../../math/percentile.ts';
import { correlation, mean, type Summary, summarize } from '../../math/summary.ts';
import { cacheFacts, type ReuseFacts } from './cache-curve.ts';
import { rowReuse } from './prefix-reuse.ts';

/** Columns as the reference analyser names them. */
const COLUMNS = [
  'Input Length',
  'Context Length',
  'Unique Prompt Length',
  'Output Length',
  'Theoretical Hit Rates',
] as const;
export type Column = (typeof COLUMNS)[number];

export interface TraceAnalysis {
  readonly requests: number;
  readonly blockSize: number;
  readonly columns: Readonly<Record<Column, Summary | undefined>>;
  /** First to last arrival. */
  readonly spanS: number;
  readonly requestsPerS: number | undefined;
  /** Squared coefficient of variation of the gaps between arrivals: 1 is Poisson, more is bursty. */
  readonly gapVariation: number | undefined;
  readonly sessions: number;
  readonly turnsPerSession: number;
  readonly inputOutputCorrelation: number | undefined;
  /** Reuse by tokens instead of by the mean of ratios: what KVE can reach with an infinite cache. */
  readonly reusableTokenShare: number | undefined;
  readonly cache: ReuseFacts;
}

/** Everything a planner or a router wants to know of a workload before running it. */
export function analyze(trace: Trace): TraceAnalysis {
  const { rows, blockSize } = trace;
  const reuse = rowReuse(rows, blockSize);
  const times = rows.flatMap((row) => row.timestampMs ?? []);
  const gaps = summarize(times.slice(1).map((time, i) => time - times[i]!));
  const spanS = times.length === 0 ? 0 : (times.at(-1)! - times[0]!) / 1000;
  const inputs = rows.map((row) => row.inputLength);
  const outputs = rows.map((row) => row.outputLength);
  const sessions = traceSessions(trace);
  const reused = reuse.reduce((sum, row) => sum + Math.min(row.inputLength, row.hitBlocks * blockSize), 0);
  const tokens = reuse.reduce((sum, row) => sum + row.inputLength, 0);
  const distinct = new Set(rows.flatMap((row) => row.hashIds ?? [])).size;
  return {
    requests: rows.length,
    blockSize,
    columns: {
      'Input Length': summarize(inputs),
      'Context Length': summarize(reuse.map((row) => row.contextLength)),
      'Unique Prompt Length': summarize(reuse.map((row) => row.uniqueLength)),
      'Output Length': summarize(outputs),
      'Theoretical Hit Rates': summarize(reuse.map((row) => row.hitRate)),
    },
    spanS,
    requestsPerS: spanS > 0 ? rows.length / spanS : undefined,
    gapVariation: gaps === undefined || gaps.mean === 0 ? undefined : (gaps.std / gaps.mean) ** 2,
    sessions: sessions.length,
    turnsPerSession: mean(sessions.map((session) => session.turns.length)) ?? 0,
    inputOutputCorrelation: correlation(inputs, outputs),
    reusableTokenShare: tokens > 0 ? reused / tokens : undefined,
    cache: cacheFacts(rows, capacities(distinct)),
  };
}

/** Powers of two up to what holds everything. */
function capacities(distinct: number): readonly number[] {
  const list: number[] = [];
  for (let capacity = 64; capacity < 2 * Math.max(distinct, 64); capacity *= 2) list.push(capacity);
  return list;
}

/** The analysis as JSON: columns with mean, std, min, quartiles, max as the reference prints them. */
export function analysisJson(analysis: TraceAnalysis): Record<string, unknown> {
  const { cache, columns, ...rest } = analysis;
  const quantile = (p: number): number | null => percentileLinear(cache.reuseGapsS, p) ?? null;
  return {
    columns: Object.fromEntries(COLUMNS.map((name) => [name, columnJson(columns[name])])),
    ...rest,
    infiniteHitRate: cache.infiniteHitRate,
    lruHitRates: cache.curve,
    reuseGapS: { median: quantile(50), p90: quantile(90), p99: quantile(99) },
  };
}

function columnJson(summary: Summary | undefined): Record<string, number> | null {
  if (summary === undefined) return null;
  const at = (p: number): number => percentileLinear(summary.sorted, p)!;
  const { count, mean: average, std, min, max } = summary;
  return { count, mean: average, std, min, p25: at(25), median: at(50), p75: at(75), max };
}

/** The analysis for people. */
export function analysisTable(analysis: TraceAnalysis): string {
  const heads = ['mean', 'std', 'min', 'p25', 'median', 'p75', 'max'];
  const rows = COLUMNS.flatMap((name) => {
    const column = columnJson(analysis.columns[name]);
    if (column === null) return [];
    return [name.padEnd(24) + heads.map((head) => column[head]!.toFixed(2).padStart(12)).join('')];
  });
  const { cache } = analysis;
  const optional = (value: number | undefined, digits = 3): string => value?.toFixed(digits) ?? '-';
  return [
    ''.padEnd(24) + heads.map((head) => head.padStart(12)).join(''),
    ...rows,
    '',
    `requests ${analysis.requests}, sessions ${analysis.sessions} of ${analysis.turnsPerSession.toFixed(2)} turns`,
    `arrivals ${optional(analysis.requestsPerS)} requests/s over ${analysis.spanS.toFixed(1)} s, squared variation of gaps ${optional(analysis.gapVariation, 2)}`,
    `input and output lengths correlate by ${optional(analysis.inputOutputCorrelation, 2)}`,
    `blocks reusable ${(cache.infiniteHitRate * 100).toFixed(2)} %, tokens reusable ${optional(analysis.reusableTokenShare && analysis.reusableTokenShare * 100, 2)} %`,
    `hit rate by cache size: ${cache.curve.map(({ capacityBlocks, hitRate }) => `${capacityBlocks}: ${(hitRate * 100).toFixed(1)} %`).join(', ')}`,
    `time between uses of a block: median ${optional(percentileLinear(cache.reuseGapsS, 50), 1)} s, p90 ${optional(percentileLinear(cache.reuseGapsS, 90), 1)} s`,
  ].join('\n');
}
