import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { RankHolding } from '../kv/route-request.ts';
import type { HttpClient } from './http-client.ts';

export interface RemoteIndexerOptions {
  /** Base URL of the service. */
  readonly url: string;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  /** An answer that takes longer is given up. */
  readonly timeoutMs: number;
  readonly onFailure: () => void;
}

/** What is asked: content hashes of the prompt's full blocks, in order. */
export interface IndexQuestion {
  readonly model: string;
  readonly blockSize: number;
  readonly blockHashes: BigUint64Array;
}

/** Failures in a row after which nobody waits for it, for a while. */
const FAILURES_TO_REST = 3;
const REST_MS = 1000;

/** Asks an index somewhere else (`POST /query_by_hash`, as Dynamo's indexer takes it) who holds how much of a prompt. */
export class RemoteIndexer {
  readonly #options: RemoteIndexerOptions;
  readonly #url: string;
  #failures = 0;
  #restUntilMs = 0;

  constructor(options: RemoteIndexerOptions) {
    this.#options = options;
    this.#url = `${options.url.replace(/\/+$/, '')}/query_by_hash`;
  }

  /** Undefined if it does not answer in time, or knows no worker of the model: then nothing is known. Never rejects. */
  async lookUp(question: IndexQuestion): Promise<readonly RankHolding[] | undefined> {
    const { client, clock, timeoutMs, log, onFailure } = this.#options;
    if (question.blockHashes.length === 0) return [];
    if (clock.nowMs() < this.#restUntilMs) return undefined;
    try {
      const answer = await client.text(this.#url, { method: 'POST', json: bodyOf(question), timeoutMs });
      // It may know the model a moment later than its engines are found.
      if (answer.status === 404) return [];
      if (answer.status !== 200) throw new Error(`it answered ${answer.status}`);
      const held = readAnswer(JSON.parse(answer.text), question.blockSize);
      if (this.#failures >= FAILURES_TO_REST)
        log.info({ url: this.#url }, 'the remote indexer answers again');
      this.#failures = 0;
      return held;
    } catch (thrown) {
      onFailure();
      this.#failures++;
      if (this.#failures >= FAILURES_TO_REST) this.#restUntilMs = clock.nowMs() + REST_MS;
      if (this.#failures === FAILURES_TO_REST) {
        const reason = toError(thrown).message;
        log.warn(
          { url: this.#url, reason },
          'the remote indexer does not answer: requests are routed by load',
        );
      }
      return undefined;
    }
  }
}

/** JSON with the hashes as whole numbers, which JavaScript's own would round. */
function bodyOf({ model, blockHashes }: IndexQuestion): string {
  return `{"model_name":${JSON.stringify(model)},"block_hashes":[${blockHashes.join()}]}`;
}

/** Tokens by worker and rank, lower tiers counting what lies above them. */
function readAnswer(answer: unknown, blockSize: number): RankHolding[] {
  const instances = (answer as { instances?: unknown } | null)?.instances;
  if (typeof instances !== 'object' || instances === null) throw new Error('its answer has no instances');
  const blocks = (tokens: unknown): number =>
    typeof tokens === 'number' && tokens > 0 ? Math.floor(tokens / blockSize) : 0;
  return Object.entries(instances).flatMap(([workerId, told]: [string, unknown]) => {
    const { dp, gpu, cpu, disk } = (told ?? {}) as Record<string, unknown>;
    const [onDevice, toHost, toDisk] = [blocks(gpu), blocks(cpu), blocks(disk)];
    return Object.entries((dp ?? {}) as object).map(([rank, tokens]): RankHolding => {
      const deviceBlocks = blocks(tokens);
      // Lower tiers are told for the worker's best rank only.
      const isBest = deviceBlocks === onDevice;
      return {
        worker: { workerId, dpRank: Number(rank) },
        deviceBlocks,
        hostPinnedBlocks: isBest ? Math.max(0, toHost - onDevice) : 0,
        diskBlocks: isBest ? Math.max(0, toDisk - Math.max(toHost, onDevice)) : 0,
      };
    });
  });
}
