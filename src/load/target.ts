import type { PlannedRequest } from './plan.ts';
import type { Answer } from './record.ts';

/** A request made ready ahead of its time, so that sending it is cheap. */
export interface PreparedRequest {
  readonly request: PlannedRequest;
  readonly body: Buffer;
}

/** Where load goes. A target never throws for what a server does: failures are answers. */
export interface LoadTarget {
  /** Builds the body; O(tokens), called ahead of the due time where possible. */
  prepare(request: PlannedRequest): PreparedRequest;
  /** Sends, and resolves when the answer has ended. Times of the answer are on `nowMs`. */
  send(prepared: PreparedRequest, nowMs: () => number, signal: AbortSignal): Promise<Answer>;
}
