export const FINISHED_REASONS = ['stop', 'length', 'abort', 'error'] as const;
export type FinishedReason = (typeof FINISHED_REASONS)[number];

/** What one request took, from its arrival at the engine to its last token. */
export interface FinishedRequest {
  readonly reason: FinishedReason;
  readonly promptTokens: number;
  /** Prompt tokens found in the cache, which the prefill did not compute. */
  readonly cachedTokens: number;
  readonly generationTokens: number;
  readonly arrivalMs: number;
  /** First admission to a batch. */
  readonly scheduledMs: number;
  readonly firstTokenMs: number;
  readonly endMs: number;
}

/** The native series of one rank of a simulated engine, whichever engine it imitates. */
export interface EngineSeries {
  /** After each pass of the scheduler; `usage` is a ratio 0..1. */
  setLoad(running: number, waiting: number, usage: number): void;
  /**
   * A request was admitted for the first time: so many tokens looked up, so many of them found, so many of those in
   * a tier below the device.
   */
  prefixLookup(queriedTokens: number, hitTokens: number, loadedTokens?: number): void;
  /** Blocks of host memory in use, where there is any. */
  setHostUse?(blocks: number): void;
  preempted(requests?: number): void;
  /** A request gave its first token, its prompt being done. */
  firstToken(ttftS: number, promptTokens: number, cachedTokens: number, loadedTokens?: number): void;
  /** So many tokens followed, each this long after the one before. */
  laterTokens(itlS: number, tokens?: number): void;
  finished(request: FinishedRequest): void;
  /** Brings up to date what is a rate; before each scrape. */
  refresh?(nowMs: number): void;
}
