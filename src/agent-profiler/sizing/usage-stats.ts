import { llmLatencies, timeSpan } from '../analysis/base-metrics.ts';
import { Column, getOrMake } from '../analysis/column.ts';
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

/** One run of the workflow as a level counts it; times in seconds since the epoch. */
export interface LevelItem {
  readonly firstS: number;
  readonly lastS: number;
  /** Of its LLM calls. */
  readonly latenciesS: readonly number[];
  /** 95th percentile as the item's own; of `latenciesS` when absent. */
  readonly latencyP95S?: number;
}

/** Adds up one level of the calculator, item by item; an item without events is undefined and marks an interrupted run. */
export class LevelCollector {
  readonly #latencies = new Column();
  readonly #runTimes = new Column();
  readonly #items: SizingMetrics['per_item_metrics'][string][] = [];
  #firstS = Number.POSITIVE_INFINITY;
  #lastS = Number.NEGATIVE_INFINITY;

  add(item: LevelItem | undefined): void {
    if (item === undefined) {
      this.#items.push({ llm_latency: 0, workflow_runtime: 0 });
      return;
    }
    const { firstS, lastS, latenciesS } = item;
    this.widen(firstS, lastS);
    for (const latency of latenciesS) this.#latencies.push(latency);
    this.#runTimes.push(lastS - firstS);
    this.#items.push({
      llm_latency: item.latencyP95S ?? percentile(Float64Array.from(latenciesS).sort(), 95),
      workflow_runtime: lastS - firstS,
    });
  }

  /** Makes the window of the run hold these times too. */
  widen(firstS: number, lastS: number): void {
    this.#firstS = Math.min(this.#firstS, firstS);
    this.#lastS = Math.max(this.#lastS, lastS);
  }

  finish(): SizingMetrics {
    return {
      alerts: { workflow_interrupted: this.#runTimes.length < this.#items.length },
      llm_latency_p95: percentile(this.#latencies.ascending(), 95),
      workflow_runtime_p95: percentile(this.#runTimes.ascending(), 95),
      total_runtime: this.#runTimes.length === 0 ? 0 : this.#lastS - this.#firstS,
      per_item_metrics: Object.fromEntries(this.#items.map((item, i) => [String(i), item])),
    };
  }
}

/** Adds the traces of a run to a level, one at a time. */
export function addTrace(level: LevelCollector, trace: Trace, pairing: 'uuid' | 'last-start'): void {
  if (trace.events.length === 0) {
    level.add(undefined);
    // The reference takes an item without events to have run at the epoch.
    if (pairing === 'last-start') level.widen(0, 0);
    return;
  }
  const [firstS, lastS] = timeSpan(trace);
  const latencyP95S = percentile(Float64Array.from(lastStartLatencies(trace)).sort(), 95);
  level.add({ firstS, lastS, latenciesS: llmLatencies(trace, pairing), latencyP95S });
}
