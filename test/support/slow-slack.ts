import type { Trace } from '../../src/agent-profiler/input/event.ts';
import type { CallSample } from '../../src/agent-profiler/trie/call-samples.ts';
import { timeOrder } from './random-traces.ts';

/** What each call leaves unused of its longest overlapping sibling, every span compared with every call. */
export function slowSlack(
  trace: Trace,
  calls: readonly CallSample[],
  rule: 'with-own-function' | 'siblings-only',
): readonly number[] {
  const rows = timeOrder(trace.events).filter(({ kind }) =>
    ['LLM', 'TOOL', 'FUNCTION', 'SPAN'].includes(kind),
  );
  const finished = rows.flatMap((end, i) => {
    const start = rows.slice(0, i).findLast(({ uuid, phase }) => uuid === end.uuid && phase === 'start');
    return end.phase === 'end' && start !== undefined
      ? [{ uuid: end.uuid, parent: start.parentId, startS: start.timeS, endS: end.timeS }]
      : [];
  });
  return calls.map(({ startS, endS, durationS, end }) => {
    const above = finished.filter(({ parent }) => parent !== '' && parent === end.functionParentId);
    const siblings = above.length > 0 ? above : finished.filter(({ parent }) => parent === end.parentId);
    const overlapping = siblings.filter(
      (sibling) =>
        sibling.uuid !== end.uuid &&
        (rule === 'with-own-function' || sibling.uuid !== end.functionId) &&
        sibling.startS < endS &&
        sibling.endS > startS,
    );
    const longestS = Math.max(0, ...overlapping.map((sibling) => sibling.endS - sibling.startS));
    return durationS > 0 && longestS > 0 ? Math.max(0, 1 - durationS / longestS) : 0;
  });
}
