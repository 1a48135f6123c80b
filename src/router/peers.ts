import { BIG_JSON } from '../base/big-json.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { WorkerKey } from '../kv/event.ts';
import type { Snapshot } from '../kv/intake/event-source.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { type PartitionRanks, readDump } from './index-dump.ts';
import { nameOf, type PartitionKey } from './partitions.ts';
import { UrlSet } from './url-set.ts';

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 1024 * 1024 * 1024;
/** One dump serves all ranks that start at about the same time. */
const FRESH_MS = 2000;

/** Other services with the same index, of which one can be asked for all that it holds. */
export class Peers extends UrlSet {
  readonly #client: HttpClient;
  readonly #log: Log;
  #latest:
    | { readonly atMs: number; readonly dump: Promise<ReadonlyMap<string, PartitionRanks> | undefined> }
    | undefined;

  constructor(client: HttpClient, log: Log) {
    super();
    this.#client = client;
    this.#log = log;
  }

  /** What the first peer that answers holds; undefined when none does. */
  dump(): Promise<ReadonlyMap<string, PartitionRanks> | undefined> {
    const nowMs = performance.now();
    if (this.#latest === undefined || nowMs - this.#latest.atMs > FRESH_MS)
      this.#latest = { atMs: nowMs, dump: this.#fetch() };
    return this.#latest.dump;
  }

  /** All that a rank holds, as a peer knows it. */
  async held(partition: PartitionKey, { workerId, dpRank }: WorkerKey): Promise<Snapshot | undefined> {
    const ranks = (await this.dump())?.get(nameOf(partition))?.ranks ?? [];
    const rank = ranks.find(({ key }) => key.workerId === workerId && key.dpRank === dpRank);
    return rank && { lastSeq: rank.lastSeq, events: rank.events };
  }

  async #fetch(): Promise<ReadonlyMap<string, PartitionRanks> | undefined> {
    for (const url of this.list()) {
      try {
        const { status, text } = await this.#client.text(`${url}/dump`, {
          timeoutMs: TIMEOUT_MS,
          maxBytes: MAX_BYTES,
        });
        if (status === 200) return readDump(BIG_JSON.parse(text), `${url}/dump`);
        this.#log.warn({ peer: url, status }, 'a peer gave no dump');
      } catch (thrown) {
        this.#log.warn({ peer: url, reason: toError(thrown).message }, 'a peer gave no dump');
      }
    }
    return undefined;
  }
}
