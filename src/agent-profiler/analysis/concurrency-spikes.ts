import type { Trace } from '../input/event.ts';
import { Column } from './column.ts';
import { firstAfter } from './llm-columns.ts';
import { type TreeRule, traceCalls } from './span-tree.ts';
import { TextColumn } from './text-column.ts';
import { Timeline, timeWeightedPercentile } from './timeline.ts';

/** A segment of the timeline at or above the threshold. */
export interface SpikeInterval {
  readonly start_time: number;
  readonly end_time: number;
  readonly concurrency: number;
  readonly active_uuids: readonly string[];
}

export interface SpikeSummary {
  readonly concurrency_distribution: Readonly<Record<string, number>>;
  readonly p50_concurrency: number;
  readonly p90_concurrency: number;
  readonly p95_concurrency: number;
  readonly p99_concurrency: number;
  readonly spike_threshold: number;
  readonly correlation_stats: { readonly avg_prompt_tokens: number; readonly avg_total_tokens: number };
  readonly average_latency_by_concurrency: Readonly<Record<string, number>>;
}

/** Calls of models and tools over all requests: 32 bytes a call and its UUID. */
export class SpikeCollector {
  readonly #rule: TreeRule;
  readonly #uuids = new TextColumn();
  readonly #starts = new Column();
  readonly #ends = new Column();
  readonly #promptTokens = new Column();
  readonly #totalTokens = new Column();

  constructor(rule: TreeRule) {
    this.#rule = rule;
  }

  add(trace: Trace): void {
    for (const span of traceCalls(trace, this.#rule)) {
      this.#uuids.push(span.uuid);
      this.#starts.push(span.startS);
      this.#ends.push(span.endS);
      this.#promptTokens.push(span.promptTokens);
      this.#totalTokens.push(span.totalTokens);
    }
  }

  /** Without a threshold: the 90th percentile of concurrency, rounded up, at least 1. */
  finish(threshold?: number): ConcurrencySpikes {
    return new ConcurrencySpikes(
      this.#uuids,
      this.#starts,
      this.#ends,
      this.#promptTokens,
      this.#totalTokens,
      threshold,
    );
  }
}

interface Uuids {
  at(call: number): string | undefined;
}

/** The spikes of a file. Intervals with their calls are made on demand: together they may outgrow the trace. */
export class ConcurrencySpikes {
  readonly timeline: Timeline;
  readonly summary: SpikeSummary;
  readonly #uuids: Uuids;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;

  constructor(uuids: Uuids, starts: Column, ends: Column, prompt: Column, total: Column, threshold?: number) {
    this.#uuids = uuids;
    this.#starts = starts.view();
    this.#ends = ends.view();
    this.timeline = Timeline.of(this.#starts, this.#ends);
    const distribution = this.timeline.distribution();
    const at = (p: number): number => timeWeightedPercentile(distribution, p);
    const spikeThreshold = threshold ?? Math.max(1, Math.ceil(at(90)));
    const weights = this.#spikesPerCall(spikeThreshold);
    this.summary = {
      concurrency_distribution: Object.fromEntries(distribution),
      p50_concurrency: at(50),
      p90_concurrency: at(90),
      p95_concurrency: at(95),
      p99_concurrency: at(99),
      spike_threshold: spikeThreshold,
      correlation_stats: {
        avg_prompt_tokens: weightedMean(prompt.view(), weights),
        avg_total_tokens: weightedMean(total.view(), weights),
      },
      average_latency_by_concurrency: this.#latencyByLevel(),
    };
  }

  /** Intervals in order of time; at most `limit` calls are listed for each. O(calls + what is listed). */
  *intervals(limit = Number.POSITIVE_INFINITY): Generator<SpikeInterval> {
    const { times, levels } = this.timeline;
    const byStart = order(this.#starts);
    const byEnd = order(this.#ends);
    const active = new Map<number, string>();
    let [s, e] = [0, 0];
    for (let i = 0; i < levels.length; i++) {
      const at = times[i]!;
      for (; s < byStart.length && this.#starts[byStart[s]!]! <= at; s++)
        active.set(byStart[s]!, this.#uuids.at(byStart[s]!)!);
      while (e < byEnd.length && this.#ends[byEnd[e]!]! <= at) active.delete(byEnd[e++]!);
      if (levels[i]! < this.summary.spike_threshold) continue;
      const uuids: string[] = [];
      for (const uuid of active.values()) {
        if (uuids.length >= limit) break;
        uuids.push(uuid);
      }
      yield { start_time: at, end_time: times[i + 1]!, concurrency: levels[i]!, active_uuids: uuids };
    }
  }

  /** In how many spike intervals each call is active: two look-ups in running counts. */
  #spikesPerCall(threshold: number): Float64Array {
    const { times, levels } = this.timeline;
    const spikesBefore = new Float64Array(levels.length + 1);
    for (let i = 0; i < levels.length; i++)
      spikesBefore[i + 1] = spikesBefore[i]! + (levels[i]! >= threshold ? 1 : 0);
    return this.#starts.map((startS, call) => {
      const endS = this.#ends[call]!;
      if (endS <= startS) return 0;
      return spikesBefore[firstAfter(times, endS) - 1]! - spikesBefore[firstAfter(times, startS) - 1]!;
    });
  }

  #latencyByLevel(): Readonly<Record<string, number>> {
    const sums = new Map<number, { seconds: number; calls: number }>();
    for (const [call, startS] of this.#starts.entries()) {
      const seconds = this.#ends[call]! - startS;
      const level = seconds > 0 ? this.timeline.levelAt(startS + seconds / 2) : 0;
      const sum = sums.get(level) ?? { seconds: 0, calls: 0 };
      sum.seconds += seconds;
      sum.calls++;
      sums.set(level, sum);
    }
    const ascending = [...sums].sort(([a], [b]) => a - b);
    return Object.fromEntries(ascending.map(([level, { seconds, calls }]) => [level, seconds / calls]));
  }
}

function order(values: Float64Array): Uint32Array {
  return Uint32Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
}

function weightedMean(values: Float64Array, weights: Float64Array): number {
  let sum = 0;
  let total = 0;
  for (const [i, value] of values.entries()) {
    if (value <= 0) continue;
    sum += value * weights[i]!;
    total += weights[i]!;
  }
  return total === 0 ? 0 : sum / total;
}
