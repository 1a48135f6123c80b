import { Heap } from './heap.ts';

/** Cancels a timer; calling it twice, or after it fired, does nothing. */
export type CancelTimer = () => void;

/** The only source of time below layer 4, so that the same code runs in real and in virtual time. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin, as a double. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch, for stamps only: it may jump. */
  wallMs(): number;
  /** Calls back once at or after `deadlineMs` on this clock's own scale. */
  at(deadlineMs: number, callback: () => void): CancelTimer;
}

// setTimeout clamps longer delays to 1 ms.
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's clock. A timer may be up to two milliseconds early, as Node's are. Timers do not keep the process alive unless `keepAlive` is set. */
export class RealClock implements Clock {
  readonly #keepAlive: boolean;

  constructor(options: { readonly keepAlive?: boolean } = {}) {
    this.#keepAlive = options.keepAlive ?? true;
  }

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return performance.timeOrigin + performance.now();
  }

  at(deadlineMs: number, callback: () => void): CancelTimer {
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const left = Math.max(0, deadlineMs - this.nowMs());
      timer = setTimeout(left > MAX_DELAY_MS ? arm : callback, Math.min(left, MAX_DELAY_MS));
      if (!this.#keepAlive) timer.unref();
    };
    arm();
    return () => clearTimeout(timer);
  }
}

interface Timer {
  readonly atMs: number;
  readonly order: number;
  callback: (() => void) | undefined;
}

/** Time that moves only when told: timers fire in order of deadline, then of creation. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #wallOriginMs: number;
  readonly #timers = new Heap<Timer>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));

  constructor(options: { readonly wallOriginMs?: number } = {}) {
    this.#wallOriginMs = options.wallOriginMs ?? 0;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallOriginMs + this.#nowMs;
  }

  at(deadlineMs: number, callback: () => void): CancelTimer {
    const timer: Timer = { atMs: Math.max(deadlineMs, this.#nowMs), order: this.#order++, callback };
    this.#timers.push(timer);
    return () => {
      timer.callback = undefined;
    };
  }

  /** Moves to `untilMs`, firing what falls due on the way, timers set by timers included. */
  advanceTo(untilMs: number): void {
    for (
      let next = this.#timers.peek();
      next !== undefined && next.atMs <= untilMs;
      next = this.#timers.peek()
    ) {
      this.#timers.pop();
      this.#nowMs = next.atMs;
      next.callback?.();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Fires timers until none is left, or the limit is passed (then the rest stays armed). */
  runUntilIdle(limitMs = Number.POSITIVE_INFINITY): void {
    for (
      let next = this.#timers.peek();
      next !== undefined && next.atMs <= limitMs;
      next = this.#timers.peek()
    ) {
      this.advanceTo(next.atMs);
    }
  }
}

/** Resolves at the deadline; rejects with the signal's reason if it aborts first. */
export function sleepUntil(clock: Clock, deadlineMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.at(deadlineMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
