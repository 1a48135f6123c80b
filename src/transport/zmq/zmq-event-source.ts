import type { Log } from '../../base/log.ts';
import type { RankBlocks } from '../../formats/kv-events/snapshot.ts';
import type { WorkerInstance } from '../discovery.ts';
import { fetchSnapshot } from '../engine-snapshot.ts';
import type { EventSource, EventSourceListener, PublishedBatch, ReplayOutcome } from '../event-source.ts';
import type { HttpClient } from '../http-client.ts';
import { rankEndpoint } from './zmq-endpoint.ts';
import { ZmqSubscriber } from './zmq-subscriber.ts';

export interface ZmqEventSourceOptions {
  readonly client: HttpClient;
  readonly log: Log;
  /** Named by errors of endpoints; `--engine` unless given. */
  readonly flag?: string;
}

/** One source per rank of an engine that publishes on ZMQ; none if it does not. */
export function zmqEventSources(instance: WorkerInstance, options: ZmqEventSourceOptions): EventSource[] {
  const { kvEvents, dpSize } = instance;
  if (kvEvents === undefined) return [];
  const { flag = '--engine' } = options;
  return Array.from({ length: dpSize }, (_, dpRank) =>
    zmqEventSource(
      instance,
      {
        dpRank,
        endpoint: rankEndpoint(kvEvents, dpRank, flag),
        replay: instance.replay === undefined ? undefined : rankEndpoint(instance.replay, dpRank, flag),
      },
      options,
    ),
  );
}

/** Where one rank of an engine publishes. */
export interface RankEndpoints {
  readonly dpRank: number;
  readonly endpoint: string;
  readonly replay: string | undefined;
}

/** The source of one rank whose endpoints are told. */
export function zmqEventSource(
  instance: Pick<WorkerInstance, 'snapshot'>,
  endpoints: RankEndpoints,
  options: ZmqEventSourceOptions,
): EventSource {
  return new ZmqEventSource(instance, endpoints, options);
}

/** Live batches over SUB, missed ones over DEALER, held blocks over HTTP. */
class ZmqEventSource implements EventSource {
  readonly dpRank: number;
  readonly #subscriber: ZmqSubscriber;
  readonly #client: HttpClient;
  readonly #instance: Pick<WorkerInstance, 'snapshot'>;

  constructor(
    instance: Pick<WorkerInstance, 'snapshot'>,
    { dpRank, endpoint, replay }: RankEndpoints,
    { client, log, flag = '--engine' }: ZmqEventSourceOptions,
  ) {
    this.dpRank = dpRank;
    this.#instance = instance;
    this.#client = client;
    this.#subscriber = new ZmqSubscriber({ endpoint, replayEndpoint: replay, flag, log });
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

  snapshot(): Promise<RankBlocks | undefined> {
    return fetchSnapshot(this.#client, this.#instance, this.dpRank);
  }

  stop(): Promise<void> {
    return this.#subscriber.stop();
  }
}
