import { type Clock, sleepUntil } from '../../base/clock.ts';
import { isPassing, reasonOf } from './kubernetes-failure.ts';

const RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
/** How long a control plane may take to come back; a single one that is upgraded is away for minutes. */
const PATIENCE_MS = 300_000;

export interface PatienceOptions {
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/** Makes calls to an API server, and makes them again while one that has answered before is away. */
export class PatientCalls {
  readonly #options: PatienceOptions;
  #answered = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** `call` hears whether it was made before, perhaps with effect: an answer that was lost looks like no answer. */
  async make<T>(call: (again: boolean) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { clock, log } = this.#options;
    const deadlineMs = clock.nowMs() + PATIENCE_MS;
    for (let failures = 0; ; failures++) {
      try {
        const answer = await call(failures > 0);
        this.#answered = true;
        return answer;
      } catch (thrown) {
        if (!isPassing(thrown)) this.#answered = true;
        if (!this.#answered || !isPassing(thrown) || clock.nowMs() >= deadlineMs) throw thrown;
        if (failures === 0) log(`Waiting for the Kubernetes API: ${reasonOf(thrown)}`);
        const waitMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** failures);
        await sleepUntil(clock, Math.min(deadlineMs, clock.nowMs() + waitMs), signal);
      }
    }
  }
}
