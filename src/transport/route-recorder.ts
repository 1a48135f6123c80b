import type { CancelTimer, Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { HttpClient } from './http-client.ts';

export interface RouteRecorderOptions {
  /** Base URL of the service with the index. */
  readonly url: string;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  /** So many decisions did not arrive. */
  readonly onLost: (count: number) => void;
}

/** Decisions are gathered for so long. */
const GATHER_MS = 2;
const TIMEOUT_MS = 2000;
const MAX_PER_MESSAGE = 64;
/** Decisions that wait for the service; what is beyond is lost. */
const MAX_WAITING = 1024;

/**
 * Tells an index somewhere else (`POST /routing_decisions`) where prompts went, so that all who ask it take them to be
 * cached there for a time. One message is under way at a time, and nobody waits for it.
 */
export class RouteRecorder {
  readonly #options: RouteRecorderOptions;
  readonly #url: string;
  #waiting: string[] = [];
  #sending = false;
  #stopped = false;
  #failing = false;
  #cancelTimer: CancelTimer | undefined;

  constructor(options: RouteRecorderOptions) {
    this.#options = options;
    this.#url = `${options.url.replace(/\/+$/, '')}/routing_decisions`;
  }

  /** `sequence` holds the chained hashes of the prompt's full blocks; it is read before this returns. */
  record(model: string, { workerId, dpRank }: WorkerKey, sequence: BigUint64Array, ttlMs: number): void {
    if (this.#stopped || sequence.length === 0) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#options.onLost(1);
      return;
    }
    const place = `"model_name":${JSON.stringify(model)},"worker_id":${workerId},"dp_rank":${dpRank}`;
    // Whole numbers, which JavaScript's own JSON would round.
    this.#waiting.push(`{${place},"ttl_ms":${ttlMs},"sequence_hashes":[${sequence.join()}]}`);
    const { clock } = this.#options;
    if (!this.#sending) this.#cancelTimer ??= clock.at(clock.nowMs() + GATHER_MS, () => void this.#send());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  async #send(): Promise<void> {
    this.#cancelTimer = undefined;
    this.#sending = true;
    while (this.#waiting.length > 0 && !this.#stopped)
      await this.#post(this.#waiting.splice(0, MAX_PER_MESSAGE));
    this.#sending = false;
  }

  async #post(decisions: readonly string[]): Promise<void> {
    const { client, log, onLost } = this.#options;
    try {
      const json = `{"decisions":[${decisions.join()}]}`;
      const { status } = await client.text(this.#url, { method: 'POST', json, timeoutMs: TIMEOUT_MS });
      if (status !== 200) throw new Error(`it answered ${status}`);
      this.#failing = false;
    } catch (thrown) {
      onLost(decisions.length);
      if (!this.#failing)
        log.warn(
          { url: this.#url, reason: toError(thrown).message },
          'the remote indexer takes no decisions',
        );
      this.#failing = true;
    }
  }
}
