import type { CancelTimer, Clock } from '../base/clock.ts';
import type { Booking } from '../kv/booking.ts';
import type { KvRouter } from '../kv/kv-router.ts';

/**
 * Keeps the lease of a booking while its exchange with an engine lives, be it silent: waiting for a long prompt is no sign
 * of a leak, and exchanges have time limits of their own. Returns what ends that; call it when the exchange is over.
 */
export function keepLease(clock: Clock, { leaseMs }: KvRouter, booking: Booking | undefined): () => void {
  if (booking === undefined) return () => {};
  let cancel: CancelTimer;
  const arm = (): void => {
    cancel = clock.at(clock.nowMs() + leaseMs / 3, () => {
      booking.renew();
      arm();
    });
  };
  arm();
  return () => cancel();
}
