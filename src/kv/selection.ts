import type { Booking } from './booking.ts';
import type { Decision } from './decision-log.ts';
import type { WorkerKey } from './event.ts';
import type { PhaseTimings } from './observer.ts';

/** Cached blocks of a prompt on one rank: leading ones on the device, extensions of those in the other tiers. */
export interface TierBlocks {
  readonly device: number;
  readonly hostPinned: number;
  readonly disk: number;
  readonly external: number;
}

/** Where a request goes. */
export interface Selection {
  readonly kind: 'selected';
  readonly worker: WorkerKey;
  readonly isl: number;
  /** Blocks of the prompt, the partial one included. */
  readonly promptBlocks: number;
  readonly overlap: TierBlocks;
  /** Cached blocks, weighted by tier. */
  readonly overlapBlocks: number;
  /** Prompt tokens that the worker is expected to find cached. */
  readonly predictedCachedTokens: number;
  /** Costs and loads of every candidate: see `explain`. */
  readonly decision: Decision;
  readonly phases: PhaseTimings;
  /** Undefined for a query. */
  readonly booking: Booking | undefined;
}
