import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { type Feedback, type FindWorker, foundWorkerSchema } from './messages.ts';

export interface RouterClientOptions {
  readonly url: string;
  readonly client: HttpClient;
  readonly timeoutMs: number;
  readonly log: Log;
}

const MAX_UNDER_WAY = 4096;

/** Asks a Thompson router, and tells it what came of its answers. */
export class RouterClient {
  readonly #options: RouterClientOptions;
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: RouterClientOptions) {
    this.#options = options;
  }

  /** Undefined if it has no worker; rejects if it does not answer as it should. */
  async find(
    asked: FindWorker,
  ): Promise<{ readonly worker: string; readonly decisionId: string | null } | undefined> {
    const { url, client, timeoutMs } = this.#options;
    const { status, body } = await client.json(`${url}/find_worker`, {
      method: 'POST',
      body: asked,
      timeoutMs,
    });
    const { success, data } = foundWorkerSchema.safeParse(body);
    if (status !== 200 || !success || data.error != null) throw new Error(`the router answered ${status}`);
    if (data.worker_id === -1) return undefined;
    return { worker: data.worker ?? String(data.worker_id), decisionId: data.decision_id };
  }

  /** In the background; a lost one only teaches nothing. */
  tell(feedback: Feedback): void {
    if (this.#underWay.size >= MAX_UNDER_WAY) return;
    const { url, client, timeoutMs, log } = this.#options;
    const told = client
      .json(`${url}/feedback`, { method: 'POST', body: feedback, timeoutMs })
      .then(
        () => {},
        (thrown: unknown) =>
          log.warn({ url, reason: toError(thrown).message }, 'feedback did not reach the router'),
      )
      .finally(() => this.#underWay.delete(told));
    this.#underWay.add(told);
  }

  /** Resolves when all feedback has been told. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
