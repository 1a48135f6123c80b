import type { Trajectory } from '../input/atif.ts';
import { isoSeconds } from '../input/atif.ts';
import type { Trace, TraceEvent } from '../input/event.ts';
import { timeSpan } from './base-metrics.ts';
import { getOrMake } from './column.ts';

/** One evaluator's verdict on one item, as the toolkit writes it. */
interface Evaluation {
  readonly score: number;
  readonly reasoning: Readonly<Record<string, unknown>>;
}

/** The four run-time evaluators. */
export type RuntimeEvaluations = Readonly<
  Record<
    'avg_llm_latency' | 'avg_workflow_runtime' | 'avg_num_llm_calls' | 'avg_tokens_per_llm_end',
    Evaluation
  >
>;

interface CallTimes {
  startS?: number;
  endS?: number;
}

/** Seconds rounded to 4 decimals, tokens to 2. */
export function evaluateTrace(trace: Trace): RuntimeEvaluations {
  // In order of what is first seen of them.
  const calls = new Map<string, CallTimes>();
  const totals: number[] = [];
  for (const event of trace.events) {
    if (event.type !== 'LLM_START' && event.type !== 'LLM_END') continue;
    const call = getOrMake(calls, event.uuid, (): CallTimes => ({}));
    if (event.phase === 'start') call.startS = event.timeS;
    else {
      call.endS = event.timeS;
      totals.push(tokensOf(event));
    }
  }
  const latencies = [...calls.values()].flatMap(({ startS, endS }) =>
    startS === undefined || endS === undefined ? [] : [Math.max(0, endS - startS)],
  );
  const steps = trace.events.length;
  const [firstS, lastS] = steps === 0 ? [0, 0] : timeSpan(trace);
  return {
    avg_llm_latency: {
      score: average(latencies, 4),
      reasoning: { num_llm_calls: latencies.length, latencies },
    },
    avg_workflow_runtime: {
      score: roundTo(lastS - firstS, 4),
      reasoning: steps === 0 ? { note: 'no steps' } : { steps },
    },
    avg_num_llm_calls: { score: totals.length, reasoning: { num_llm_end: totals.length } },
    avg_tokens_per_llm_end: { score: average(totals, 2), reasoning: { num_llm_end: totals.length, totals } },
  };
}

/** How the start of a step is found: by the toolkit's key, which its own converter never writes, or also by the invocation. */
export type StepStart = 'span-timestamp' | 'also-invocation';

export function evaluateTrajectory(trajectory: Trajectory, start: StepStart): RuntimeEvaluations {
  const calls = trajectory.steps.filter(({ source, metrics }) => source === 'agent' && metrics != null);
  const latencies = calls.flatMap((step) => stepSeconds(step, start) ?? []);
  const totals = calls.map(
    ({ metrics }) => (metrics?.prompt_tokens ?? 0) + (metrics?.completion_tokens ?? 0),
  );
  const times = trajectory.steps.flatMap(({ timestamp }) => isoSeconds(timestamp) ?? []);
  const wholeS =
    times.reduce((most, t) => Math.max(most, t), -Infinity) -
    times.reduce((least, t) => Math.min(least, t), Infinity);
  const count = calls.length;
  return {
    avg_llm_latency: {
      score: average(latencies, 4),
      reasoning: { num_llm_calls: latencies.length, latencies },
    },
    avg_workflow_runtime: {
      score: times.length === 0 ? 0 : roundTo(wholeS, 4),
      reasoning: times.length === 0 ? { note: 'no steps' } : { steps: trajectory.steps.length },
    },
    avg_num_llm_calls: { score: count, reasoning: { num_llm_calls: count } },
    avg_tokens_per_llm_end: { score: average(totals, 2), reasoning: { num_llm_calls: count, totals } },
  };
}

/** The invocation's own times win over the keys of older writers. */
function stepSeconds(
  { extra, timestamp }: Trajectory['steps'][number],
  start: StepStart,
): number | undefined {
  const { start_timestamp: from, end_timestamp: to } = extra?.invocation ?? {};
  if (start === 'also-invocation' && from != null && to != null) return Math.max(0, to - from);
  const [startS, endS] = [isoSeconds(extra?.span_event_timestamp), isoSeconds(timestamp)];
  return startS === undefined || endS === undefined ? undefined : Math.max(0, endS - startS);
}

function tokensOf({ usage }: TraceEvent): number {
  return usage === undefined ? 0 : usage.total || usage.prompt + usage.completion;
}

function average(values: readonly number[], decimals: number): number {
  return values.length === 0
    ? 0
    : roundTo(values.reduce((sum, value) => sum + value, 0) / values.length, decimals);
}

/** Rounds as Python does: halves of what is exactly a half go to even. */
export function roundTo(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
