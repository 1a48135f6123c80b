import type { Phase } from './record.ts';

/**
 * What a prompt consists of. `blocks`: hash ids of a trace, one per block; `parts`: streams of tokens by id, each
 * cut at its own length. Equal ids give equal tokens, so what prompts share is exact. `text` is sent as it is.
 */
export type PromptPlan =
  | { readonly kind: 'blocks'; readonly ids: ArrayLike<number>; readonly blockSize: number }
  | { readonly kind: 'parts'; readonly parts: readonly { readonly id: number; readonly length: number }[] }
  | { readonly kind: 'text'; readonly text: string };

export interface PlannedRequest {
  readonly id: string;
  readonly index: number;
  readonly phase: Phase;
  readonly prompt: PromptPlan;
  readonly inputLength: number;
  readonly outputLength: number;
  readonly priority?: number | undefined;
  /** The client hangs up this long after sending. */
  readonly cancelAfterMs?: number | undefined;
}

/** Turns that follow each other: turn k+1 is due `delayMs` after turn k has ended, however it ended. */
export interface PlannedSession {
  readonly id: string;
  /** Due time of the first turn, ms from the run's origin; ignored in a closed loop. */
  readonly atMs: number;
  readonly turns: readonly { readonly request: PlannedRequest; readonly delayMs: number }[];
}

/** Everything to be sent, and by which rule. */
export interface LoadPlan {
  /** `open`: sessions start at their due times, whatever the server does. `closed`: in order, as slots get free. */
  readonly loop: 'open' | 'closed';
  /** Ascending by `atMs`. */
  readonly sessions: readonly PlannedSession[];
  /** Closed: number of sessions at a time (a session keeps its slot while it thinks). Open: requests in flight
   * beyond which due requests wait, which counts as send lag. */
  readonly concurrency?: number | undefined;
  /** Open: requests in flight beyond which due requests are dropped and counted. */
  readonly maxInFlight?: number | undefined;
  /** Nothing is sent after this time; what is in flight may end. */
  readonly maxDurationMs?: number | undefined;
}

export function plannedRequests(plan: LoadPlan): number {
  return plan.sessions.reduce((sum, session) => sum + session.turns.length, 0);
}

/** Sessions of one turn each, due at `atMs[i]` (all at 0 when not given). */
export function singleTurns(
  requests: readonly PlannedRequest[],
  atMs?: ArrayLike<number>,
): readonly PlannedSession[] {
  return requests.map((request, i) => ({
    id: request.id,
    atMs: atMs?.[i] ?? 0,
    turns: [{ request, delayMs: 0 }],
  }));
}
