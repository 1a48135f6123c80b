import { byTime, type Trace } from '../input/event.ts';
import { Column } from './column.ts';
import {
  type ConfidenceIntervals,
  confidenceIntervals,
  type Percentiles,
  percentiles,
  throughputIntervals,
} from './confidence.ts';

export interface BaseMetrics {
  readonly runTime: ConfidenceIntervals;
  readonly llmLatency: ConfidenceIntervals;
  readonly throughput: ConfidenceIntervals;
  readonly runTimePercentiles: Percentiles;
  readonly firstEventS: number | undefined;
  readonly lastEventS: number | undefined;
}

/** How an LLM_END finds its start: by UUID, or as the reference does, whatever LLM_START came last. */
export type Pairing = 'uuid' | 'last-start';

/** Run times, LLM latencies and throughput; 8 bytes per request and call. */
export class BaseMetricsCollector {
  readonly #pairing: Pairing;
  readonly #runTimes = new Column();
  readonly #latencies = new Column();
  #requests = 0;
  #firstS = Number.POSITIVE_INFINITY;
  #lastS = Number.NEGATIVE_INFINITY;

  constructor(pairing: Pairing) {
    this.#pairing = pairing;
  }

  add(trace: Trace): void {
    this.#requests++;
    if (trace.events.length === 0) return;
    const [firstS, lastS] = timeSpan(trace);
    this.#firstS = Math.min(this.#firstS, firstS);
    this.#lastS = Math.max(this.#lastS, lastS);
    this.#runTimes.push(lastS - firstS);
    for (const latency of llmLatencies(trace, this.#pairing)) this.#latencies.push(latency);
  }

  finish(): BaseMetrics {
    const runTimes = this.#runTimes.ascending();
    const seen = runTimes.length > 0;
    return {
      runTime: confidenceIntervals(runTimes),
      llmLatency: confidenceIntervals(this.#latencies.ascending()),
      throughput: throughputIntervals(this.#requests, seen ? this.#lastS - this.#firstS : 0),
      runTimePercentiles: percentiles(runTimes),
      firstEventS: seen ? this.#firstS : undefined,
      lastEventS: seen ? this.#lastS : undefined,
    };
  }
}

/** First and last time of a trace that has events. */
export function timeSpan(trace: Trace): readonly [firstS: number, lastS: number] {
  let firstS = Number.POSITIVE_INFINITY;
  let lastS = Number.NEGATIVE_INFINITY;
  for (const { timeS } of trace.events) {
    if (timeS < firstS) firstS = timeS;
    if (timeS > lastS) lastS = timeS;
  }
  return [firstS, lastS];
}

/** Seconds from start to end of the LLM calls of a trace, in order of their ends. */
export function llmLatencies(trace: Trace, pairing: Pairing): readonly number[] {
  const latencies: number[] = [];
  const open = new Map<string, number>();
  for (const event of byTime(trace.events)) {
    const key = pairing === 'uuid' ? event.uuid : '';
    if (event.type === 'LLM_START') open.set(key, event.timeS);
    else if (event.type === 'LLM_END') {
      const startS = open.get(key);
      if (startS === undefined) continue;
      latencies.push(event.timeS - startS);
      open.delete(key);
    }
  }
  return latencies;
}
