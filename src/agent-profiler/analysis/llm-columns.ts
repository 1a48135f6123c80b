import type { Trace, TraceEvent } from '../input/event.ts';

/** The six `NOVA-` values of one row; -1 where the column says "none left". Times in milliseconds. */
export interface LlmColumns {
  readonly eventId: string;
  readonly requestsRemaining: number;
  readonly timeToNextMs: number;
  readonly timeToEndMs: number;
  /** Completion tokens of the call that starts here; undefined elsewhere. */
  readonly predictedOsl: number | undefined;
  readonly timeToSessionEndMs: number;
}

/** Completion tokens by UUID of the LLM_END events; the last one wins. */
export function completionTokens(
  events: readonly TraceEvent[],
  into = new Map<string, number>(),
): Map<string, number> {
  for (const event of events)
    if (event.type === 'LLM_END') into.set(event.uuid, event.usage?.completion ?? 0);
  return into;
}

/**
 * The columns of every row of a trace, relative to the LLM calls of the same function; O(n log n).
 * `oslByUuid` gives completion tokens of calls (of the whole file, for the reference's meaning).
 */
export function llmColumns(trace: Trace, oslByUuid: ReadonlyMap<string, number>): readonly LlmColumns[] {
  const starts = new Map<string, number[]>();
  let sessionEndS = Number.NEGATIVE_INFINITY;
  for (const event of trace.events) {
    if (event.timeS > sessionEndS) sessionEndS = event.timeS;
    if (event.type !== 'LLM_START') continue;
    const group = starts.get(event.functionName);
    if (group === undefined) starts.set(event.functionName, [event.timeS]);
    else group.push(event.timeS);
  }
  for (const group of starts.values()) group.sort((a, b) => a - b);
  return trace.events.map((event) => {
    const group = starts.get(event.functionName) ?? [];
    const after = firstAfter(group, event.timeS);
    const left = group.length - after;
    return {
      eventId: event.functionName,
      requestsRemaining: group.length === 0 ? -1 : left,
      timeToNextMs: left > 0 ? (group[after]! - event.timeS) * 1000 : -1,
      timeToEndMs: left > 0 ? (group.at(-1)! - event.timeS) * 1000 : -1,
      predictedOsl: event.type === 'LLM_START' ? oslByUuid.get(event.uuid) : undefined,
      timeToSessionEndMs: (sessionEndS - event.timeS) * 1000,
    };
  });
}

/** Index of the first value strictly greater than `at` in ascending values. */
export function firstAfter(ascending: readonly number[] | Float64Array, at: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
