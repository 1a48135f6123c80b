import { fail, type KvasirError } from '../../base/errors.ts';

/** Where a row stands, for messages: `mini.jsonl, line 7`. */
export interface RowPlace {
  readonly source: string;
  readonly line: number;
}

export function rowError(place: RowPlace, reason: string, mend: string, cause?: unknown): KvasirError {
  return fail('KV_TRACE_MALFORMED', { source: place.source, line: place.line, reason, mend }, cause);
}

/** A value as it may stand in a message: cut, so that a long prompt does not fill the screen. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
