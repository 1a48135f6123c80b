import { getOrMake } from '../analysis/column.ts';
import { firstAfter } from '../analysis/llm-columns.ts';
import { byTime, type Trace, type TraceEvent } from '../input/event.ts';

/** What the trie learns from one finished LLM call. */
export interface CallSample {
  /** Functions around the call, outermost first. */
  readonly path: readonly string[];
  /** 1-based within one invocation of the function. */
  readonly callIndex: number;
  /** LLM calls of the request that end after this one. */
  readonly remainingCalls: number;
  /** Until the next LLM start of the request; undefined when none follows. */
  readonly timeToNextMs: number | undefined;
  readonly outputTokens: number;
  /** When it is not known: the end; the epoch by two-level paths. */
  readonly startS: number;
  readonly endS: number;
  /** 0 when the start is not known. */
  readonly durationS: number;
  /** The LLM_END. */
  readonly end: TraceEvent;
}

/**
 * `full`: the whole stack from the ancestry, calls counted where they start. `two-level`: the reference's
 * parent and function, calls counted where they end, starts only from the end event.
 */
export type PathRule = 'full' | 'two-level';

/** Longer paths keep their outermost names; a look-up cuts in the same place. */
export const MAX_PATH = 64;

export function callSamples(trace: Trace, rule: PathRule): readonly CallSample[] {
  const events = byTime(trace.events);
  const ends = events.filter(({ type }) => type === 'LLM_END');
  const starts = events.filter(({ type }) => type === 'LLM_START');
  const startTimes = Float64Array.from(starts, ({ timeS }) => timeS);
  const matched = rule === 'full' ? matchedStarts(starts, ends) : undefined;
  const paths = rule === 'full' ? functionPaths(events) : undefined;
  const indices = matched === undefined ? indicesByEnd(ends) : indicesByStart(starts, ends, matched);
  return ends.map((end, i) => {
    const next = startTimes[firstAfter(startTimes, end.timeS)];
    const startS = end.spanStartS ?? matched?.[i]?.timeS;
    return {
      path: paths === undefined ? twoLevels(end) : (paths.get(end.functionId) ?? []),
      callIndex: indices[i]!,
      remainingCalls: ends.length - i - 1,
      timeToNextMs: next === undefined ? undefined : (next - end.timeS) * 1000,
      outputTokens: end.usage?.completion ?? 0,
      startS: startS ?? (rule === 'full' ? end.timeS : 0),
      endS: end.timeS,
      durationS: startS === undefined ? 0 : end.timeS - startS,
      end,
    };
  });
}

function twoLevels({ functionParentName, functionName }: TraceEvent): readonly string[] {
  return functionParentName ? [functionParentName, functionName] : [functionName];
}

/** Full paths by function id, the root left out. Circles in broken ancestries end where they close. */
function functionPaths(events: readonly TraceEvent[]): ReadonlyMap<string, readonly string[]> {
  const functions = new Map<string, { readonly name: string; readonly parent: string | null }>();
  for (const { functionId, functionName, functionParentId, functionParentName } of events) {
    functions.set(functionId, { name: functionName, parent: functionParentId });
    // A parent that has no event of its own is still known by name.
    if (functionParentId && !functions.has(functionParentId))
      functions.set(functionParentId, { name: functionParentName ?? functionParentId, parent: null });
  }
  const paths = new Map<string, readonly string[]>([['root', []]]);
  for (const id of functions.keys()) {
    const walked: string[] = [];
    const seen = new Set<string>();
    let at: string | null = id;
    while (at !== null && functions.has(at) && !paths.has(at) && !seen.has(at)) {
      seen.add(at);
      walked.push(at);
      at = functions.get(at)!.parent;
    }
    let path: readonly string[] = (at === null ? undefined : paths.get(at)) ?? [];
    for (const below of walked.reverse()) {
      if (path.length < MAX_PATH) path = [...path, functions.get(below)!.name];
      paths.set(below, path);
    }
  }
  return paths;
}

function indicesByEnd(ends: readonly TraceEvent[]): readonly number[] {
  const counts = new Map<string, number>();
  return ends.map(({ functionId }) => {
    const count = (counts.get(functionId) ?? 0) + 1;
    counts.set(functionId, count);
    return count;
  });
}

/** The start of each end; of a UUID used again within the trace, starts and ends match in order. */
function matchedStarts(
  starts: readonly TraceEvent[],
  ends: readonly TraceEvent[],
): readonly (TraceEvent | undefined)[] {
  const waiting = new Map<string, TraceEvent[]>();
  for (const start of starts.toReversed()) getOrMake(waiting, start.uuid, () => []).push(start);
  return ends.map(({ uuid }) => waiting.get(uuid)?.pop());
}

function indicesByStart(
  starts: readonly TraceEvent[],
  ends: readonly TraceEvent[],
  matched: readonly (TraceEvent | undefined)[],
): readonly number[] {
  const counts = new Map<string, number>();
  const next = (functionId: string): number => {
    const count = (counts.get(functionId) ?? 0) + 1;
    counts.set(functionId, count);
    return count;
  };
  const indices = new Map(starts.map((start) => [start, next(start.functionId)]));
  return ends.map(({ functionId }, i) => {
    const start = matched[i];
    return start === undefined ? next(functionId) : indices.get(start)!;
  });
}
