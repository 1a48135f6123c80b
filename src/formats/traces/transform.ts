import { fail } from '../../base/errors.ts';
import type { Trace, TraceRow } from './trace.ts';

/** Moves the first arrival to 0. */
export function normalise(trace: Trace): Trace {
  const first = firstMs(trace.rows);
  return first === 0 ? trace : mapTimes(trace, (time) => time - first);
}

/** Divides arrivals and delays: 2 sends twice as fast. */
export function speedUp(trace: Trace, ratio: number): Trace {
  if (!(ratio > 0 && Number.isFinite(ratio))) {
    throw fail('KV_SETTING_INVALID', {
      setting: 'speed-up',
      value: ratio,
      reason: 'is not a positive number',
      mend: 'Give 2 to send twice as fast, 0.5 for half as fast.',
    });
  }
  return ratio === 1
    ? trace
    : mapTimes(
        trace,
        (time) => time / ratio,
        (delay) => delay / ratio,
      );
}

/** Stretches or squeezes arrivals so that the last comes `spanMs` after the first; delays scale alike. */
export function rescaleTo(trace: Trace, spanMs: number): Trace {
  const times = trace.rows.flatMap((row) => row.timestampMs ?? []);
  const span = times.reduce((a, b) => Math.max(a, b), 0) - firstMs(trace.rows);
  return span > 0 && spanMs > 0 ? speedUp(normalise(trace), span / spanMs) : normalise(trace);
}

/** Every row `copies` times at the same instant, each copy with ids of its own: load grows, sharing does not. */
export function duplicateHashSpace(trace: Trace, copies: number): Trace {
  const stride = maxId(trace.rows) + 1;
  const rows = trace.rows.flatMap((row) =>
    Array.from({ length: copies }, (_, copy): TraceRow => {
      if (copy === 0) return row;
      const renamed = (id: string): string => `${id}~${copy}`;
      return {
        ...row,
        ...(row.hashIds === undefined ? {} : { hashIds: row.hashIds.map((id) => id + copy * stride) }),
        sessionId: renamed(row.sessionId ?? `request_${row.line}`),
        ...(row.requestId === undefined ? {} : { requestId: renamed(row.requestId) }),
      };
    }),
  );
  return { ...trace, rows };
}

/** Each block becomes `factor` blocks: prompts and their shared prefixes grow alike. */
export function deepenPrefixes(trace: Trace, factor: number): Trace {
  const rows = trace.rows.map((row): TraceRow => {
    if (row.hashIds === undefined) return row;
    const hashIds = row.hashIds.flatMap((id) =>
      Array.from({ length: factor }, (_, part) => id * factor + part),
    );
    const tail = row.hashIds.length * trace.blockSize - row.inputLength;
    return { ...row, hashIds, inputLength: hashIds.length * trace.blockSize - tail };
  });
  return { ...trace, rows };
}

/** Splits a trace into `parts` by session, so that no session is cut; a row without a session goes by its line. */
export function partitionBySession(trace: Trace, parts: number): readonly Trace[] {
  const partOf = new Map<string, number>();
  const buckets = Array.from({ length: parts }, (): TraceRow[] => []);
  for (const row of trace.rows) {
    const id = row.sessionId ?? `request_${row.line}`;
    const part = partOf.get(id) ?? partOf.size % parts;
    partOf.set(id, part);
    buckets[part]?.push(row);
  }
  return buckets.map((rows) => ({ ...trace, rows }));
}

function mapTimes(
  trace: Trace,
  time: (ms: number) => number,
  delay: (ms: number) => number = (ms) => ms,
): Trace {
  const rows = trace.rows.map((row) => ({
    ...row,
    timestampMs: row.timestampMs === undefined ? undefined : time(row.timestampMs),
    ...(row.delayMs === undefined ? {} : { delayMs: delay(row.delayMs) }),
  }));
  return { ...trace, rows };
}

function firstMs(rows: readonly TraceRow[]): number {
  let first = Number.POSITIVE_INFINITY;
  for (const row of rows) first = Math.min(first, row.timestampMs ?? Number.POSITIVE_INFINITY);
  return Number.isFinite(first) ? first : 0;
}

function maxId(rows: readonly TraceRow[]): number {
  let max = -1;
  for (const row of rows) for (const id of row.hashIds ?? []) max = Math.max(max, id);
  return max;
}
