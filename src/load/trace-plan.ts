import { SeededRandom } from '../base/random.ts';
import { traceSessions } from '../formats/traces/sessions.ts';
import type { Trace, TraceRow } from '../formats/traces/trace.ts';
import { normalise, speedUp } from '../formats/traces/transform.ts';
import { type Arrival, arrivalTimes } from './arrival.ts';
import type { LoadPlan, PlannedRequest, PlannedSession, PromptPlan } from './plan.ts';

export interface TracePlanOptions {
  /** Divides arrivals and delays. */
  readonly speedup?: number | undefined;
  /** Sessions start by this process, in the order of the trace, instead of when the trace says. */
  readonly arrival?: Arrival | undefined;
  /** Of that process. */
  readonly seed?: number | undefined;
  /** Replays in a closed loop of so many sessions at a time; with an arrival, a limit behind it. */
  readonly concurrency?: number | undefined;
  /** Open loop: requests in flight beyond which due ones are dropped. */
  readonly maxInFlight?: number | undefined;
  readonly maxDurationMs?: number | undefined;
  /** Only the first so many rows. */
  readonly limit?: number | undefined;
  /** Requests due before this time (after speed-up) warm the caches and are kept out of the statistics. */
  readonly warmupMs?: number | undefined;
  readonly idPrefix?: string | undefined;
  /** Tokens of a literal prompt, for formats that carry one. */
  readonly countTokens?: ((text: string) => number) | undefined;
}

// Prompts without prefix data share nothing: ids of their own, beyond all that a trace uses.
const PRIVATE_IDS = 2 ** 48;
/** Answers inside later prompts of a delta trace. */
const ANSWER_IDS = 2 ** 49;

type Part = Extract<PromptPlan, { kind: 'parts' }>['parts'][number];

/** The plan that replays a trace, live: open loop at its own pace unless a concurrency is given. */
export function tracePlan(trace: Trace, options: TracePlanOptions = {}): LoadPlan {
  const rows = trace.rows.slice(0, options.limit ?? trace.rows.length);
  const paced = speedUp(normalise({ ...trace, rows }), options.speedup ?? 1);
  const isOpen = options.concurrency === undefined || options.arrival !== undefined;
  let index = 0;
  const grouped = traceSessions(paced);
  const times =
    options.arrival && arrivalTimes(options.arrival, grouped.length, new SeededRandom(options.seed ?? 0));
  const sessions = grouped.map((session, i): PlannedSession => {
    const atMs = times?.[i] ?? session.arrivalMs ?? 0;
    const phase = isOpen && atMs < (options.warmupMs ?? 0) ? 'warmup' : 'measure';
    const before: Part[] = [];
    const turns = session.turns.map(({ row, delayMs }) => {
      const request = planned(row, index++, phase, trace.blockSize, options);
      return { delayMs, request: trace.format === 'mooncake-delta' ? grown(request, before) : request };
    });
    return { id: session.id, atMs, turns };
  });
  return {
    loop: isOpen ? 'open' : 'closed',
    sessions: isOpen ? sessions.sort((a, b) => a.atMs - b.atMs) : sessions,
    concurrency: options.concurrency,
    maxInFlight: options.maxInFlight,
    maxDurationMs: options.maxDurationMs,
  };
}

function planned(
  row: TraceRow,
  index: number,
  phase: PlannedRequest['phase'],
  blockSize: number,
  options: TracePlanOptions,
): PlannedRequest {
  const inputLength = row.prompt === undefined ? row.inputLength : (options.countTokens?.(row.prompt) ?? 0);
  return {
    id: `${options.idPrefix ?? ''}${row.requestId ?? `request-${row.line}`}`,
    index,
    phase,
    prompt: promptOf(row, index, blockSize),
    inputLength,
    // A server cannot be asked for no token at all.
    outputLength: Math.max(1, row.outputLength),
    priority: row.priority,
  };
}

/**
 * The whole prompt of a delta row: all turns before, their answers, and what the row adds, which `before` then holds.
 * Answers are stand-ins of the planned length, since the next prompt is fixed before the answer is known.
 */
function grown(request: PlannedRequest, before: Part[]): PlannedRequest {
  const { prompt, inputLength, index, outputLength } = request;
  if (prompt.kind === 'blocks') {
    for (let block = 0; block < prompt.ids.length; block++) {
      const left = inputLength - block * prompt.blockSize;
      if (left > 0) before.push({ id: prompt.ids[block]!, length: Math.min(left, prompt.blockSize) });
    }
  }
  const parts = [...before];
  before.push({ id: ANSWER_IDS + index, length: outputLength });
  return {
    ...request,
    prompt: { kind: 'parts', parts },
    inputLength: parts.reduce((sum, part) => sum + part.length, 0),
  };
}

function promptOf(row: TraceRow, index: number, blockSize: number): PromptPlan {
  if (row.prompt !== undefined) return { kind: 'text', text: row.prompt };
  if (row.hashIds !== undefined) return { kind: 'blocks', ids: row.hashIds, blockSize };
  return { kind: 'parts', parts: [{ id: PRIVATE_IDS + index, length: row.inputLength }] };
}
