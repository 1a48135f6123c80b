import { ascending, percentileNearest } from '../math/percentile.ts';
import { total } from '../math/summary.ts';
import type { GapPool } from './gap-pool.ts';

/** Statistics of one quantity under the report's keys: mean_X, min_X, ... std_X. */
export type Latency = Readonly<Record<(typeof STATISTICS)[number], number>>;

export const STATISTICS = ['mean', 'min', 'max', 'median', 'p75', 'p90', 'p95', 'p99', 'std'] as const;
const PERCENTILES = { median: 50, p75: 75, p90: 90, p95: 95, p99: 99 } as const;
const NOTHING: Latency = { mean: 0, min: 0, max: 0, median: 0, p75: 0, p90: 0, p95: 0, p99: 0, std: 0 };

/** Exact statistics of a sample, percentiles by the reference's nearest rank; zeros of an empty one. */
export function latencyOf(values: readonly number[]): Latency {
  if (values.length === 0) return NOTHING;
  const sorted = ascending(values);
  const mean = total(sorted) / sorted.length;
  let squares = 0;
  for (const value of sorted) squares += (value - mean) ** 2;
  const at = (p: number): number => percentileNearest(sorted, p)!;
  return {
    mean,
    min: sorted[0]!,
    max: sorted.at(-1)!,
    median: at(PERCENTILES.median),
    p75: at(PERCENTILES.p75),
    p90: at(PERCENTILES.p90),
    p95: at(PERCENTILES.p95),
    p99: at(PERCENTILES.p99),
    std: Math.sqrt(squares / sorted.length),
  };
}

/** Statistics of all gaps in ms, and of 1000 / gap over those that are not 0: tokens per second of one user. */
export function gapLatencies(gaps: GapPool): { readonly itl: Latency; readonly userThroughput: Latency } {
  const entries: { readonly value: number; readonly times: number }[] = [];
  const rates: typeof entries = [];
  gaps.forEachAscending((gapNs, times) => {
    const previous = entries.at(-1);
    const value = gapNs / 1e6;
    if (previous?.value === value) entries[entries.length - 1] = { value, times: previous.times + times };
    else entries.push({ value, times });
  });
  for (let i = entries.length - 1; i >= 0; i--) {
    const { value, times } = entries[i]!;
    if (value > 0) rates.push({ value: 1000 / value, times });
  }
  return { itl: weightedLatency(entries), userThroughput: weightedLatency(rates) };
}

/** As {@link latencyOf}, of ascending values that each occurred several times. */
function weightedLatency(entries: readonly { readonly value: number; readonly times: number }[]): Latency {
  let count = 0;
  let sum = 0;
  for (const { value, times } of entries) {
    count += times;
    sum += value * times;
  }
  if (count === 0) return NOTHING;
  const mean = sum / count;
  let squares = 0;
  for (const { value, times } of entries) squares += times * (value - mean) ** 2;
  const ranks = Object.entries(PERCENTILES).map(
    ([name, p]) => [name, Math.round(((count - 1) * p) / 100)] as const,
  );
  const found = new Map<string, number>();
  let passed = 0;
  for (const { value, times } of entries) {
    passed += times;
    for (const [name, rank] of ranks) if (rank < passed && !found.has(name)) found.set(name, value);
  }
  return {
    mean,
    min: entries[0]!.value,
    max: entries.at(-1)!.value,
    median: found.get('median')!,
    p75: found.get('p75')!,
    p90: found.get('p90')!,
    p95: found.get('p95')!,
    p99: found.get('p99')!,
    std: Math.sqrt(squares / count),
  };
}
