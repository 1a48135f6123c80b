import { describe, expect, test } from 'vitest';
import { type Clock, VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from '../kv/config.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { keepLease } from './lease-keeper.ts';

/** Whose timers all come late, in order. */
class StalledClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  nowMs = (): number => this.#now;
  wallMs = (): number => this.#now;

  at(atMs: number, callback: () => void): () => void {
    const timer = { atMs, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  stall(ms: number): void {
    this.#now += ms;
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#now).sort((a, b) => a.atMs - b.atMs);
    for (const timer of due) if (this.#timers.delete(timer)) timer.callback();
  }
}

function book<C extends Clock = VirtualClock>(
  leaseMs = 300_000,
  clock: C = new VirtualClock() as unknown as C,
) {
  const expired: string[] = [];
  const router = new KvRouter({
    blockSize: 4,
    clock,
    random: new SeededRandom(1),
    config: routerConfig({ leaseMs }),
    observer: { leaseExpired: (id) => expired.push(id) },
  });
  router.addWorker({ workerId: '1' });
  const selection = router.select({ requestId: 'r', tokens: Uint32Array.of(1, 2, 3, 4, 5) });
  if (selection.kind === 'refused') throw new Error(selection.reason);
  return { clock, router, expired, booking: selection.booking! };
}

const HOURS = 3_600_000;

describe('a lease', () => {
  test.each([1000, 300_000])('of %d ms outlasts hours of silence while the exchange lives', (leaseMs) => {
    const { clock, router, booking, expired } = book(leaseMs);
    const end = keepLease(clock, router, booking);
    clock.advanceTo(5 * HOURS);
    expect(router.sequences.size).toBe(1);
    end();
    booking.free();
    expect(router.sequences.size).toBe(0);
    clock.advanceTo(10 * HOURS);
    expect(expired).toEqual([]);
  });

  test('of a booking that leaked runs out, and its load goes', () => {
    const { clock, router, booking, expired } = book();
    keepLease(clock, router, booking)();
    clock.advanceTo(299_000);
    expect(router.sequences.size).toBe(1);
    clock.advanceTo(400_000);
    expect(expired).toEqual(['r']);
    expect(router.loads()[0]).toMatchObject({
      activeRequests: 0,
      activeDecodeBlocks: 0,
      activePrefillTokens: 0,
    });
  });

  test('is not judged by the hours in which the whole process stood still', () => {
    const clock = new StalledClock();
    const { router, booking, expired } = book(300_000, clock);
    const end = keepLease(clock, router, booking);
    clock.stall(5 * HOURS);
    expect(expired).toEqual([]);
    end();
    for (let i = 0; i < 8; i++) clock.stall(61_000);
    expect(expired).toEqual(['r']);
    expect(router.sequences.size).toBe(0);
  });
});
