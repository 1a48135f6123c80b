import type { TraceRow } from './trace.ts';

/** A row as a line of Mooncake JSONL, without the line feed; what the row lacks is left out. */
export function traceLine(row: TraceRow, extra: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    timestamp: row.timestampMs === undefined ? undefined : roundUs(row.timestampMs),
    session_id: row.sessionId,
    request_id: row.requestId,
    delay: row.delayMs === undefined ? undefined : roundUs(row.delayMs),
    input_length: row.inputLength,
    output_length: row.outputLength,
    hash_ids: row.hashIds,
    output_token_ids: row.outputTokenIds,
    priority: row.priority,
    strict_priority: row.strictPriority,
    policy_class: row.policyClass,
    ...extra,
  });
}

function roundUs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
