import type { TraceEvent } from '../../src/agent-profiler/input/event.ts';

/**
 * Seconds of each LLM_END since the row before it, if that row is a start: the row before among those of its
 * UUID, or among all starts and ends of LLM calls. Rows are taken in the order given.
 */
export function slowLatencies(
  rows: readonly TraceEvent[],
  pairing: 'uuid' | 'last-start',
): readonly number[] {
  const calls = rows.filter(({ type }) => type === 'LLM_START' || type === 'LLM_END');
  return calls.flatMap((row, i) => {
    const before = calls.slice(0, i).findLast(({ uuid }) => pairing === 'last-start' || uuid === row.uuid);
    return row.type === 'LLM_END' && before?.type === 'LLM_START' ? [row.timeS - before.timeS] : [];
  });
}
