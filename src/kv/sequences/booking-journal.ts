import type { ActiveRequest } from './active-sequences.ts';

/** Hears what happens to a router's own bookings, in order; called once each change is made. */
export interface BookingJournal {
  added(request: ActiveRequest): void;
  prefillCompleted(request: ActiveRequest): void;
  /** `fraction` is the new weight of all blocks that only this request owns. */
  outputBlocksAdded(request: ActiveRequest, blocks: number, fraction: number | undefined): void;
  freed(request: ActiveRequest): void;
}
