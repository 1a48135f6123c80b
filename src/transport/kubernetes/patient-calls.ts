import { type Clock, sleepUntil } from '../../base/clock.ts';
import { isPassing, isRefusal, reasonOf } from './kubernetes-failure.ts';

const RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
/** How long a control plane may take to come back; a single one that is upgraded is away for minutes. */
const PATIENCE_MS = 300_000;
/** A server that has just started refuses service accounts until it has read the roles. A full quota may get empty. */
const REFUSED_PATIENCE_MS = 60_000;

export interface PatienceOptions {
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/** Makes calls to an API server, and makes them again while one that has answered before is away or starting. */
export class PatientCalls {
  readonly #options: PatienceOptions;
  /** Actions that were allowed once. */
  readonly #allowed = new Set<string>();
  #answered = false;
  #awayAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** `call` hears whether it was made before, perhaps with effect: an answer that was lost looks like no answer. */
  async make<T>(action: string, call: (again: boolean) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { clock, log } = this.#options;
    const sinceMs = clock.nowMs();
    for (let failures = 0; ; failures++) {
      try {
        const answer = await call(failures > 0);
        this.#answered = true;
        this.#allowed.add(action);
        return answer;
      } catch (thrown) {
        const leftMs = sinceMs + this.#patienceMs(action, thrown) - clock.nowMs();
        if (leftMs <= 0) throw thrown;
        if (failures === 0) log(`Waiting for the Kubernetes API: ${reasonOf(thrown)}`);
        const waitMs = Math.min(leftMs, MAX_RETRY_MS, RETRY_MS * 2 ** failures);
        await sleepUntil(clock, clock.nowMs() + waitMs, signal);
      }
    }
  }

  #patienceMs(action: string, thrown: unknown): number {
    const nowMs = this.#options.clock.nowMs();
    if (isPassing(thrown)) {
      this.#awayAtMs = nowMs;
      return this.#answered ? PATIENCE_MS : 0;
    }
    this.#answered = true;
    const strange = this.#allowed.has(action) || nowMs - this.#awayAtMs < REFUSED_PATIENCE_MS;
    return isRefusal(thrown) && strange ? REFUSED_PATIENCE_MS : 0;
  }
}
