import type { Trace, TraceEvent } from '../../src/agent-profiler/input/event.ts';
import type { CallSample, PathRule } from '../../src/agent-profiler/trie/call-samples.ts';
import { timeOrder } from './random-traces.ts';

/** The samples of a trace, each from a look at all its rows. */
export function slowCalls(trace: Trace, rule: PathRule): readonly CallSample[] {
  const rows = timeOrder(trace.events);
  const starts = rows.filter(({ type }) => type === 'LLM_START');
  const ends = rows.filter(({ type }) => type === 'LLM_END');
  const nthOf = (list: readonly TraceEvent[], row: TraceEvent) =>
    list.slice(0, list.indexOf(row)).filter(({ uuid }) => uuid === row.uuid).length;
  /** The second start of a UUID belongs to its second end, and so on. */
  const startOf = (end: TraceEvent) =>
    rule === 'full'
      ? starts.find((start) => start.uuid === end.uuid && nthOf(starts, start) === nthOf(ends, end))
      : undefined;
  /** Calls are counted at their starts; those that have none come after. */
  const counted = rule === 'full' ? [...starts, ...ends.filter((end) => startOf(end) === undefined)] : ends;
  return ends.map((end) => {
    const start = startOf(end);
    const startS = end.spanStartS ?? start?.timeS;
    const row = start ?? end;
    const upToIt = counted.slice(0, counted.indexOf(row) + 1);
    const after = starts.map(({ timeS }) => timeS - end.timeS).filter((seconds) => seconds > 0);
    return {
      path: rule === 'full' ? fullPath(rows, end.functionId) : twoLevels(end),
      callIndex: upToIt.filter(({ functionId }) => functionId === row.functionId).length,
      remainingCalls: ends.slice(ends.indexOf(end) + 1).length,
      timeToNextMs: after.length === 0 ? undefined : Math.min(...after) * 1000,
      outputTokens: end.usage?.completion ?? 0,
      startS: startS ?? (rule === 'full' ? end.timeS : 0),
      endS: end.timeS,
      durationS: startS === undefined ? 0 : end.timeS - startS,
      end,
    };
  });
}

function twoLevels({ functionParentName, functionName }: TraceEvent): readonly string[] {
  return [functionParentName, functionName].filter((name): name is string => name !== null && name !== '');
}

/** Names from the outermost function down; a circle is cut above the last function that the first walk into it meets. */
function fullPath(rows: readonly TraceEvent[], id: string): readonly string[] {
  const mentioned = [...new Set(rows.flatMap((row) => [row.functionId, row.functionParentId]))];
  const cut = new Set<string>();
  const parentOf = (child: string): string | undefined => {
    const parent = rows.find(({ functionId }) => functionId === child)?.functionParentId;
    return cut.has(child) || parent === 'root' || !parent ? undefined : parent;
  };
  const upwards = (from: string): readonly string[] => {
    const walked = [from];
    for (let at = parentOf(from); at !== undefined; at = parentOf(at)) {
      if (walked.includes(at)) {
        cut.add(walked.at(-1)!);
        break;
      }
      walked.push(at);
    }
    return walked;
  };
  for (const first of mentioned) if (first) upwards(first);
  const nameOf = (of: string): string =>
    rows.find(({ functionId }) => functionId === of)?.functionName ??
    rows.find(({ functionParentId }) => functionParentId === of)?.functionParentName ??
    of;
  return id === 'root' ? [] : upwards(id).toReversed().map(nameOf);
}
