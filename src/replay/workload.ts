import { fail } from '../base/errors.ts';
import { GeneratedPrompt, type Prompt } from '../engine/prompt.ts';
import { canonicalIds } from '../formats/traces/canonical-ids.ts';
import { traceSessions } from '../formats/traces/sessions.ts';
import type { Trace, TraceRow } from '../formats/traces/trace.ts';

/** One request of a workload. Times are those of the trace; a replay's speed-up comes on top. */
export interface WorkloadRequest {
  /** Place in the workload, from 0; names the request everywhere. */
  readonly index: number;
  readonly requestId: string | undefined;
  readonly session: WorkloadSession;
  /** Place in its session, from 0. */
  readonly turn: number;
  /** Wait after the turn before, ms. */
  readonly delayMs: number;
  readonly inputLength: number;
  readonly outputLength: number;
  readonly plannedTokens: Uint32Array | undefined;
  /** Head start in a router's queue, seconds. */
  readonly priority: number | undefined;
  /** Trace blocks of the prompt, as canonical ids; undefined where the trace tells none. */
  readonly blockIds: Uint32Array | undefined;
}

export interface WorkloadSession {
  readonly id: string;
  readonly arrivalMs: number;
  readonly turns: readonly WorkloadRequest[];
}

/** What to send: sessions in order of their first row; one turn each where the trace has none. */
export interface Workload {
  /** Tokens behind one block id. */
  readonly traceBlockSize: number;
  readonly sessions: readonly WorkloadSession[];
  readonly requests: readonly WorkloadRequest[];
}

/** Prepares a trace for replay: ids interned in order of appearance, first arrival at 0. */
export function workloadOf(trace: Trace): Workload {
  if (trace.rows.length === 0)
    throw fail('KV_FILE_MALFORMED', { path: 'trace', reason: 'holds no requests', mend: 'Give another.' });
  if (trace.format === 'mooncake-delta' || trace.format === 'vllm-custom')
    throw fail('KV_FILE_MALFORMED', {
      path: 'trace',
      reason: `${trace.format} rows depend on generated text, which replay does not make`,
      mend: 'Send it to a server with kvasir bench.',
    });
  const ids = canonicalIds(trace.rows);
  const indexOf = new Map(trace.rows.map((row, index) => [row, index]));
  const requests: WorkloadRequest[] = [];
  const parsed = traceSessions(trace);
  let firstMs = Number.POSITIVE_INFINITY;
  for (const { arrivalMs } of parsed) firstMs = Math.min(firstMs, arrivalMs ?? Number.POSITIVE_INFINITY);
  const sessions = parsed.map(({ id, arrivalMs, turns }): WorkloadSession => {
    const own: WorkloadRequest[] = [];
    const session = {
      id,
      arrivalMs: (arrivalMs ?? firstMs) - (Number.isFinite(firstMs) ? firstMs : 0),
      turns: own,
    };
    for (const [turn, { row, delayMs }] of turns.entries()) {
      const index = indexOf.get(row)!;
      const request = workloadRequest(row, index, trace.blockSize, ids.rows[index]!);
      own.push({ ...request, session, turn, delayMs });
      requests[index] = own[turn]!;
    }
    return session;
  });
  return { traceBlockSize: trace.blockSize, sessions, requests };
}

function workloadRequest(
  row: TraceRow,
  index: number,
  blockSize: number,
  ids: Uint32Array,
): Omit<WorkloadRequest, 'session' | 'turn' | 'delayMs'> {
  const blockIds = row.hashIds === undefined ? undefined : ids;
  return {
    index,
    requestId: row.requestId,
    inputLength:
      blockIds === undefined ? row.inputLength : Math.min(row.inputLength, blockIds.length * blockSize),
    outputLength: row.outputTokenIds?.length ?? row.outputLength,
    plannedTokens: row.outputTokenIds === undefined ? undefined : Uint32Array.from(row.outputTokenIds),
    priority: row.priority,
    blockIds,
  };
}

// The reference's constant for prompts of which only the length is known.
const UNSHARED_STRIDE = 1_000_003;

/** The prompt of a request: each block is its id repeated, as in the reference; without ids it shares nothing. */
export function promptOf(request: WorkloadRequest, traceBlockSize: number): Prompt {
  const { blockIds, index, inputLength } = request;
  if (blockIds === undefined) {
    return new GeneratedPrompt(inputLength, (into, start) => {
      for (let i = 0; i < into.length; i++) into[i] = (index * UNSHARED_STRIDE + start + i) >>> 0;
    });
  }
  return new GeneratedPrompt(inputLength, (into, start) => {
    for (let at = 0; at < into.length; ) {
      const block = Math.floor((start + at) / traceBlockSize);
      const end = Math.min(into.length, (block + 1) * traceBlockSize - start);
      into.fill(blockIds[block]!, at, end);
      at = end;
    }
  });
}
