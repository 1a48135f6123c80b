import { rowError } from './row-error.ts';
import type { Trace, TraceRow } from './trace.ts';

/** One turn: ready `delayMs` after the turn before it has ended (the first: at the session's arrival). */
export interface TraceTurn {
  readonly row: TraceRow;
  readonly delayMs: number;
}

export interface TraceSession {
  readonly id: string;
  /** Arrival of the first turn; undefined where the trace gives none (closed-loop traces). */
  readonly arrivalMs: number | undefined;
  readonly turns: readonly TraceTurn[];
}

/**
 * Groups rows by session, turns and sessions in order of appearance. A row without a session is one of its own,
 * `request_{line}`. A turn waits its delay, else the difference of the timestamps, after the turn before.
 */
export function traceSessions(trace: Pick<Trace, 'rows'>, source = 'trace'): readonly TraceSession[] {
  const sessions = new Map<string, { arrivalMs: number | undefined; turns: TraceTurn[] }>();
  for (const row of trace.rows) {
    const id = row.sessionId ?? `request_${row.line}`;
    const session = sessions.get(id);
    if (session === undefined) {
      if (row.delayMs !== undefined) {
        throw rowError(
          { source, line: row.line },
          `is the first turn of session ${id} and has a delay`,
          'A delay counts from the turn before: give the first turn a timestamp instead.',
        );
      }
      sessions.set(id, { arrivalMs: row.timestampMs, turns: [{ row, delayMs: 0 }] });
    } else {
      session.turns.push({ row, delayMs: row.delayMs ?? gapMs(session.turns.at(-1)?.row, row) });
    }
  }
  return [...sessions].map(([id, session]) => ({ id, ...session }));
}

function gapMs(before: TraceRow | undefined, row: TraceRow): number {
  if (before?.timestampMs === undefined || row.timestampMs === undefined) return 0;
  return Math.max(0, row.timestampMs - before.timestampMs);
}
