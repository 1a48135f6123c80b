import type { Log } from '../base/log.ts';
import { type RankBlocks, readSnapshot } from '../formats/kv-events/snapshot.ts';
import type { WorkerInstance } from './discovery.ts';
import type { EventSource, EventSourceListener, PublishedBatch, ReplayOutcome } from './event-source.ts';
import type { HttpClient } from './http-client.ts';
import { rankEndpoint } from './zmq-endpoint.ts';
import { ZmqSubscriber } from './zmq-subscriber.ts';

export interface ZmqEventSourceOptions {
  readonly client: HttpClient;
  readonly log: Log;
  /** Named by errors of endpoints; `--engine` unless given. */
  readonly flag?: string;
}

const SNAPSHOT_TIMEOUT_MS = 10_000;
const SNAPSHOT_MAX_BYTES = 512 * 1024 * 1024;

/** One source per rank of an engine that publishes on ZMQ; none if it does not. */
export function zmqEventSources(instance: WorkerInstance, options: ZmqEventSourceOptions): EventSource[] {
  const { kvEvents, dpSize } = instance;
  if (kvEvents === undefined) return [];
  return Array.from({ length: dpSize }, (_, rank) => new ZmqEventSource(instance, kvEvents, rank, options));
}

/** Live batches over SUB, missed ones over DEALER, held blocks over HTTP. */
class ZmqEventSource implements EventSource {
  readonly dpRank: number;
  readonly #subscriber: ZmqSubscriber;
  readonly #client: HttpClient;
  readonly #snapshotUrl: string | undefined;

  constructor(
    { replay, snapshot }: WorkerInstance,
    kvEvents: string,
    dpRank: number,
    { client, log, flag = '--engine' }: ZmqEventSourceOptions,
  ) {
    this.dpRank = dpRank;
    this.#client = client;
    this.#subscriber = new ZmqSubscriber({
      endpoint: rankEndpoint(kvEvents, dpRank, flag),
      replayEndpoint: replay === undefined ? undefined : rankEndpoint(replay, dpRank, flag),
      flag,
      log,
    });
    this.#snapshotUrl = snapshot === undefined ? undefined : `${snapshot}?dp_rank=${dpRank}`;
  }

  start(listener: EventSourceListener): Promise<void> {
    return this.#subscriber.start(
      (batch) => listener.batch(batch),
      () => listener.connected?.(),
    );
  }

  replay(
    fromSeq: number,
    onBatch: (batch: PublishedBatch) => void,
    timeoutMs?: number,
  ): Promise<ReplayOutcome> {
    return this.#subscriber.replay(fromSeq, onBatch, timeoutMs);
  }

  async snapshot(): Promise<RankBlocks | undefined> {
    const url = this.#snapshotUrl;
    if (url === undefined) return undefined;
    const limits = { timeoutMs: SNAPSHOT_TIMEOUT_MS, maxBytes: SNAPSHOT_MAX_BYTES };
    const { status, body } = await this.#client.json(url, limits);
    if (status === 404) return undefined;
    return readSnapshot(body, url).find((rank) => rank.dpRank === this.dpRank);
  }

  stop(): Promise<void> {
    return this.#subscriber.stop();
  }
}
