import type { DrawnRequest } from './drawn-load.ts';

/** Requests of one probe, all sent at once; their prompts have exactly `islTokens` tokens and share no prefix. */
export interface ProbeBatch {
  readonly url: string;
  readonly count: number;
  readonly islTokens: number;
  readonly oslTokens: number;
  /** Equal seeds give equal prompts. */
  readonly seed: number;
}

/** Requests that arrive when they are due, whatever the engine does. */
export interface ProbeLoad {
  readonly url: string;
  readonly requests: readonly LoadRequest[];
  readonly seed: number;
}

export interface LoadRequest extends DrawnRequest {
  /** Requests of equal numbers and lengths have equal prompts, all others share nothing. */
  readonly prompt: number;
}

/** What came back for one request of a probe. Times are ms on one clock. */
export interface ProbeAnswer {
  /** When it was written; of a load, when it was due. */
  readonly sentMs: number;
  /** Arrival of each chunk that carried tokens. */
  readonly chunkMs: readonly number[];
  readonly outputTokens: number;
  readonly promptTokens: number;
  /** Prompt tokens that the engine found in its cache; undefined if it does not tell. */
  readonly cachedTokens: number | undefined;
  readonly error: string | undefined;
}

export interface EndpointFacts {
  readonly model: string;
  /** KV capacity of the whole engine in tokens, where the endpoint tells. */
  readonly kvTokens: number | undefined;
  /** Tokens of a KV block, where the endpoint tells. */
  readonly blockSize: number | undefined;
}

/** How the profiler reaches an OpenAI endpoint; commands make it of the load generator. */
export interface ProbeClient {
  /** Throws KV_ENGINE_UNREACHABLE while the endpoint cannot answer; asks each endpoint only once. */
  facts(url: string): Promise<EndpointFacts>;
  /** The endpoint is gone: another engine may answer there next. */
  forget(url: string): void;
  send(batch: ProbeBatch, signal: AbortSignal): Promise<readonly ProbeAnswer[]>;
  /** Answers in the order of the requests. */
  serve(load: ProbeLoad, signal: AbortSignal): Promise<readonly ProbeAnswer[]>;
}
