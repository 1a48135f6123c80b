import type { AffinityLease, SessionAffinity } from './affinity.ts';
import type { ActiveRequest, ActiveSequences } from './sequences/active-sequences.ts';

/** How a request ended: only `failed` speaks against the worker. */
type RequestEnd = 'done' | 'cancelled' | 'failed';

/** A request's place on its rank. Every call is idempotent and harmless after {@link Booking.free}. */
export interface Booking {
  /** The first output token arrived. */
  prefillComplete(): void;
  /** Tokens generated since the last call; also keeps the lease. */
  outputTokens(count: number): void;
  /** Books one output block; `fraction` becomes the weight of the blocks that only this request owns. */
  outputBlock(fraction?: number): void;
  /** Shows that the stream lives although no token came. */
  renew(): void;
  free(end?: RequestEnd): void;
}

export interface BookingParts {
  readonly sequences: ActiveSequences;
  readonly request: ActiveRequest;
  readonly affinity: SessionAffinity | undefined;
  readonly lease: AffinityLease | undefined;
  readonly sessionFinal: boolean;
}

export function makeBooking({ sequences, request, affinity, lease, sessionFinal }: BookingParts): Booking {
  let held = lease;
  return {
    prefillComplete: () => sequences.completePrefill(request),
    outputTokens: (count) => {
      sequences.completePrefill(request);
      sequences.addOutputTokens(request, count);
    },
    outputBlock: (fraction) => sequences.addOutputBlocks(request, 1, fraction),
    renew: () => sequences.renew(request),
    free: (end = 'done') => {
      sequences.free(request);
      if (held === undefined) return;
      affinity?.release(held, end === 'failed' || (sessionFinal && end === 'done') ? 'drop' : 'keep');
      held = undefined;
    },
  };
}
