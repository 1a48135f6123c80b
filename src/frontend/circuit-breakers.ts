import type { Clock } from '../base/clock.ts';

export interface CircuitLimits {
  /** Failures in a row, within the window, that open a worker's circuit; 0 keeps all closed. */
  readonly failures: number;
  readonly windowMs: number;
  /** How long a worker is left out before it gets a request on trial. */
  readonly openMs: number;
  /** Trials that must succeed, one after the other, before it is trusted again. */
  readonly successes: number;
}

export const CIRCUIT_STATES = ['closed', 'half_open', 'open'] as const;
export type CircuitState = (typeof CIRCUIT_STATES)[number];

/** How a request went for its worker; `refused`: it was too busy, `cancelled`: the client left. */
export type AttemptEnd = 'done' | 'failed' | 'refused' | 'cancelled';

export interface CircuitReport {
  readonly state: CircuitState;
  readonly failuresInRow: number;
  /** Until it is tried again; 0 unless open. */
  readonly retryInMs: number;
}

interface Circuit {
  state: CircuitState;
  failures: number;
  firstFailureMs: number;
  openUntilMs: number;
  successes: number;
  /** When the trial under way began; undefined while there is none. */
  trialSinceMs: number | undefined;
}

const CLOSED: CircuitReport = { state: 'closed', failuresInRow: 0, retryInMs: 0 };

/**
 * Leaves out workers that failed many requests in a row, and tries each again with one request at a time. Workers
 * that do well take no room here.
 */
export class CircuitBreakers {
  readonly #clock: Clock;
  readonly #limits: CircuitLimits;
  readonly #onState: (workerId: string, state: CircuitState | undefined) => void;
  readonly #circuits = new Map<string, Circuit>();
  #open = 0;

  /** `onState` hears of every change, and `undefined` when a worker leaves. */
  constructor(
    clock: Clock,
    limits: CircuitLimits,
    onState: (workerId: string, state: CircuitState | undefined) => void = () => {},
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#onState = onState;
  }

  /** The workers to leave out now. */
  leftOut(): readonly string[] {
    if (this.#open === 0) return [];
    const nowMs = this.#clock.nowMs();
    return [...this.#circuits].filter(([, each]) => this.#isLeftOut(each, nowMs)).map(([id]) => id);
  }

  /** A request goes to the worker. */
  began(workerId: string): void {
    const circuit = this.#circuits.get(workerId);
    if (circuit === undefined || circuit.state === 'closed') return;
    const nowMs = this.#clock.nowMs();
    if (circuit.state === 'open' && nowMs >= circuit.openUntilMs) this.#turn(workerId, circuit, 'half_open');
    if (circuit.state === 'half_open') circuit.trialSinceMs ??= nowMs;
  }

  /** The request is over. */
  ended(workerId: string, how: AttemptEnd): void {
    const circuit = this.#circuits.get(workerId);
    if (circuit !== undefined) circuit.trialSinceMs = undefined;
    if (how === 'done') this.#succeeded(workerId, circuit);
    else if (how === 'failed') this.#failed(workerId, circuit ?? this.#add(workerId));
  }

  of(workerId: string): CircuitReport {
    const circuit = this.#circuits.get(workerId);
    if (circuit === undefined) return CLOSED;
    const { state, failures, openUntilMs } = circuit;
    const retryInMs = state === 'open' ? Math.max(0, openUntilMs - this.#clock.nowMs()) : 0;
    return { state, failuresInRow: failures, retryInMs };
  }

  /** The worker left: if it comes back, it does so with a clean slate. */
  remove(workerId: string): void {
    if (this.of(workerId).state !== 'closed') this.#open--;
    this.#circuits.delete(workerId);
    this.#onState(workerId, undefined);
  }

  /** A trial that nobody ended, such as one for a slow client, holds up the next one no longer than an open circuit. */
  #isLeftOut({ state, openUntilMs, trialSinceMs }: Circuit, nowMs: number): boolean {
    if (state === 'open') return nowMs < openUntilMs;
    if (state === 'closed' || trialSinceMs === undefined) return false;
    return nowMs - trialSinceMs < this.#limits.openMs;
  }

  #add(workerId: string): Circuit {
    const circuit: Circuit = {
      state: 'closed',
      failures: 0,
      firstFailureMs: 0,
      openUntilMs: 0,
      successes: 0,
      trialSinceMs: undefined,
    };
    this.#circuits.set(workerId, circuit);
    return circuit;
  }

  #succeeded(workerId: string, circuit: Circuit | undefined): void {
    if (circuit === undefined) return;
    circuit.failures = 0;
    if (circuit.state === 'half_open' && ++circuit.successes < this.#limits.successes) return;
    // What began before the circuit opened proves nothing of now.
    if (circuit.state === 'open') return;
    if (circuit.state === 'half_open') this.#turn(workerId, circuit, 'closed');
    this.#circuits.delete(workerId);
  }

  #failed(workerId: string, circuit: Circuit): void {
    const nowMs = this.#clock.nowMs();
    const { failures, windowMs, openMs } = this.#limits;
    if (circuit.failures === 0 || nowMs - circuit.firstFailureMs > windowMs) {
      circuit.failures = 0;
      circuit.firstFailureMs = nowMs;
    }
    circuit.failures++;
    const opens = circuit.state === 'half_open' || (failures > 0 && circuit.failures >= failures);
    if (!opens || circuit.state === 'open') return;
    circuit.openUntilMs = nowMs + openMs;
    circuit.successes = 0;
    this.#turn(workerId, circuit, 'open');
  }

  #turn(workerId: string, circuit: Circuit, state: CircuitState): void {
    if (circuit.state === 'closed') this.#open++;
    if (state === 'closed') this.#open--;
    circuit.state = state;
    this.#onState(workerId, state);
  }
}
