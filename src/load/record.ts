import type { Usage } from '../formats/openai/usage.ts';

export type Phase = 'warmup' | 'measure';

/** How a request ended. `dropped`: never sent, because too many were in flight. */
export type Outcome = 'completed' | 'failed' | 'cancelled' | 'dropped';

/**
 * Where the tokens per chunk come from: told by the server chunk by chunk, one per chunk as the total confirms, or
 * the total spread evenly because the server batches tokens without saying how many.
 */
export type TokenSource = 'reported' | 'one-each' | 'spread';

/** What came back for one request, before any definition is applied. Times are ms from the run's origin. */
export interface Answer {
  readonly outcome: Exclude<Outcome, 'dropped'>;
  /** Just before the request was handed to the HTTP client. */
  readonly sentMs: number;
  /** When the client began to write it to a connection; later than `sentMs` when it had to connect. */
  readonly wroteMs?: number | undefined;
  readonly headersMs?: number | undefined;
  /** Arrival of every chunk that had `choices`, role-only and empty ones included. */
  readonly chunkMs: readonly number[];
  /** Tokens in each of these chunks; 0 for chunks without content. */
  readonly chunkTokens: readonly number[];
  readonly tokenSource: TokenSource;
  /** Arrival of the last event but `[DONE]`: the usage chunk, where there is one. */
  readonly lastDataMs?: number | undefined;
  /** End of the stream, `[DONE]` included; of a failed request, when it failed. */
  readonly endMs: number;
  readonly usage?: (Usage & { readonly reasoningTokens?: number }) | undefined;
  readonly finishReason?: string | undefined;
  /** HTTP status; undefined when there was no answer. */
  readonly status?: number | undefined;
  readonly error?: string | undefined;
  /** The worker that served it, where the server says so. */
  readonly worker?: string | undefined;
  /** Kept only when asked for. */
  readonly text?: string | undefined;
}

/** One request of a run: what was planned and what was seen. The raw material of every report. */
export interface RequestRecord extends Omit<Answer, 'outcome'> {
  readonly outcome: Outcome;
  readonly id: string;
  readonly index: number;
  readonly sessionId: string;
  readonly turn: number;
  readonly phase: Phase;
  /** When it should have been sent; undefined in a closed loop, where nothing but the server sets the pace. */
  readonly intendedMs?: number | undefined;
  /** Time spent waiting for a place in flight, where the plan limits them. */
  readonly waitedMs?: number | undefined;
  /** Tokens asked for. */
  readonly inputLength: number;
  readonly outputLength: number;
}

/** State of the generator itself, which decides whether its numbers can be believed. */
export interface GeneratorHealth {
  /** How late timers fired, sampled every 20 ms. */
  readonly loopDelayP50Ms: number;
  readonly loopDelayP99Ms: number;
  readonly loopDelayMaxMs: number;
  /** Share of the run in which the event loop was busy, 0..1. */
  readonly loopUtilization: number;
  /** CPU time of the process over wall time; above 1 with several threads. */
  readonly cpuShare: number;
}

export interface LoadRun {
  readonly records: readonly RequestRecord[];
  readonly loop: 'open' | 'closed';
  /** Slots of a closed loop, or the semaphore behind the arrivals of an open one. */
  readonly concurrency: number | undefined;
  /** Requests that the plan held; fewer records mean that the run was cut short. */
  readonly planned: number;
  /** Milliseconds since the epoch at time 0 of the records. */
  readonly originWallMs: number;
  readonly durationMs: number;
  /** Stopped by a signal or a time limit before the plan was done. */
  readonly interrupted: boolean;
  readonly health: GeneratorHealth;
}

/** Tokens of the answer: as the server counted them, else one per content chunk. */
export function outputTokens(record: Answer | RequestRecord): number {
  return record.usage?.completionTokens ?? record.chunkTokens.reduce((sum, tokens) => sum + tokens, 0);
}

export function inputTokens(record: RequestRecord): number {
  return record.usage?.promptTokens ?? record.inputLength;
}
