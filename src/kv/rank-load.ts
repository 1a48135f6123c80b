import type { WorkerKey } from './event.ts';

/** Load of one rank as the router's own bookings make it. */
export interface RankLoad {
  readonly worker: WorkerKey;
  readonly activeDecodeBlocks: number;
  readonly activePrefillTokens: number;
  readonly activeRequests: number;
  /** Those of them whose prompts are not computed yet. */
  readonly prefillRequests: number;
  /** Blocks that the engine has in use and that were booked before this router knew it. */
  readonly foreignBlocks: number;
  readonly busy: boolean;
}
