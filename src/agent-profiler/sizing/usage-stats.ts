import { llmLatencies, timeSpan } from '../analysis/base-metrics.ts';
import { getOrMake } from '../analysis/column.ts';
import { percentile } from '../analysis/confidence.ts';
import type { Trace } from '../input/event.ts';
import type { SizingMetrics } from './gpu-sizing.ts';

interface ModelUsage {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  total_tokens: number;
}

/** What one item used, as the toolkit's sizing calculator counts it. */
export interface ItemUsage {
  readonly usage_stats_per_llm: Readonly<Record<string, ModelUsage>>;
  readonly total_tokens: number;
  readonly runtime: number;
  readonly min_timestamp: number;
  readonly max_timestamp: number;
  /** 95th percentile. */
  readonly llm_latency: number;
}

export function itemUsage(trace: Trace): ItemUsage {
  const perModel = new Map<string, ModelUsage>();
  for (const { type, name, usage } of trace.events) {
    if (type !== 'LLM_END') continue;
    const sum = getOrMake(perModel, name, () => ({
      prompt_tokens: 0,
      completion_tokens: 0,
      cached_tokens: 0,
      reasoning_tokens: 0,
      total_tokens: 0,
    }));
    sum.prompt_tokens += usage?.prompt ?? 0;
    sum.completion_tokens += usage?.completion ?? 0;
    sum.cached_tokens += usage?.cached ?? 0;
    sum.reasoning_tokens += usage?.reasoning ?? 0;
    sum.total_tokens += usage?.total ?? 0;
  }
  const [firstS, lastS] = trace.events.length === 0 ? [0, 0] : timeSpan(trace);
  return {
    usage_stats_per_llm: Object.fromEntries(perModel),
    total_tokens: [...perModel.values()].reduce((sum, { total_tokens: total }) => sum + total, 0),
    runtime: lastS - firstS,
    min_timestamp: firstS,
    max_timestamp: lastS,
    llm_latency: percentile(Float64Array.from(lastStartLatencies(trace)).sort(), 95),
  };
}

/** Pairs with the last start in order of arrival, not of time. */
function lastStartLatencies(trace: Trace): readonly number[] {
  const latencies: number[] = [];
  let startS: number | undefined;
  for (const event of trace.events) {
    if (event.type === 'LLM_START') startS = event.timeS;
    else if (event.type === 'LLM_END' && startS !== undefined) {
      latencies.push(event.timeS - startS);
      startS = undefined;
    }
  }
  return latencies;
}

/** One level of the calculator from the traces of a run at that concurrency. */
export function levelMetrics(
  traces: readonly Trace[],
  pairing: 'uuid' | 'last-start',
): SizingMetrics & { readonly items: readonly ItemUsage[] } {
  const items = traces.map(itemUsage);
  const seen = items.filter((_, i) => traces[i]!.events.length > 0);
  const latencies = traces.flatMap((trace) => llmLatencies(trace, pairing));
  // The reference takes an item without events to have run at the epoch.
  const timed = pairing === 'uuid' ? seen : items;
  const firstS = timed.reduce((least, item) => Math.min(least, item.min_timestamp), Number.POSITIVE_INFINITY);
  const lastS = timed.reduce((most, item) => Math.max(most, item.max_timestamp), Number.NEGATIVE_INFINITY);
  return {
    items,
    alerts: { workflow_interrupted: seen.length < items.length },
    llm_latency_p95: percentile(Float64Array.from(latencies).sort(), 95),
    workflow_runtime_p95: percentile(Float64Array.from(seen, ({ runtime }) => runtime).sort(), 95),
    total_runtime: seen.length === 0 ? 0 : lastS - firstS,
    per_item_metrics: Object.fromEntries(
      items.map((item, i) => [String(i), { llm_latency: item.llm_latency, workflow_runtime: item.runtime }]),
    ),
  };
}
