import type { RankBlocks } from '../../formats/kv-events/snapshot.ts';
import type { WorkerInstance } from '../discovery.ts';
import { fetchSnapshot } from '../engine-snapshot.ts';
import type { EventSource, EventSourceListener, PublishedBatch, ReplayOutcome } from '../event-source.ts';
import type { HttpClient } from '../http-client.ts';
import { packBatch, unpackPayload, unpackSeq } from './batch-message.ts';
import type { NatsConnection } from './nats-connection.ts';

/** Begins the KV event address of a worker that publishes on NATS; the subject follows. */
export const NATS_EVENTS = 'nats:';

const REPLAY_TIMEOUT_MS = 10_000;

/** One source per rank of a worker that publishes on NATS; none if it does not. */
export function natsEventSources(
  instance: WorkerInstance,
  parts: { readonly connection: NatsConnection; readonly client: HttpClient },
): EventSource[] {
  const { kvEvents, dpSize } = instance;
  if (!kvEvents?.startsWith(NATS_EVENTS)) return [];
  const subject = kvEvents.slice(NATS_EVENTS.length);
  return Array.from(
    { length: dpSize },
    (_, rank) => new NatsEventSource(instance, `${subject}.${rank}`, rank, parts.connection, parts.client),
  );
}

/** Live batches on a subject, missed ones by request, held blocks over HTTP. */
class NatsEventSource implements EventSource {
  readonly dpRank: number;
  readonly #instance: WorkerInstance;
  readonly #subject: string;
  readonly #connection: NatsConnection;
  readonly #client: HttpClient;
  readonly #ends: (() => void)[] = [];

  constructor(
    instance: WorkerInstance,
    subject: string,
    dpRank: number,
    connection: NatsConnection,
    client: HttpClient,
  ) {
    this.dpRank = dpRank;
    this.#instance = instance;
    this.#subject = subject;
    this.#connection = connection;
    this.#client = client;
  }

  async start(listener: EventSourceListener): Promise<void> {
    this.#ends.push(
      this.#connection.subscribe(this.#subject, ({ data }) => {
        const batch = readBatch(this.#subject, data);
        if (batch !== undefined) listener.batch(batch);
      }),
      this.#connection.onConnect(() => listener.connected?.()),
    );
  }

  async replay(
    fromSeq: number,
    onBatch: (batch: PublishedBatch) => void,
    timeoutMs: number = REPLAY_TIMEOUT_MS,
  ): Promise<ReplayOutcome> {
    let batches = 0;
    const take = (answer: Uint8Array): void => {
      const batch = readBatch(this.#subject, answer);
      if (batch === undefined) return;
      batches++;
      onBatch(batch);
    };
    const question = packBatch(fromSeq, new Uint8Array(0));
    const end = await this.#connection.requestAll(`${this.#subject}.replay`, question, take, timeoutMs);
    return { end, batches };
  }

  snapshot(): Promise<RankBlocks | undefined> {
    return fetchSnapshot(this.#client, this.#instance, this.dpRank);
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
  }
}

function readBatch(topic: string, message: Uint8Array): PublishedBatch | undefined {
  const seq = unpackSeq(message);
  return seq === undefined ? undefined : { topic, seq, payload: unpackPayload(message) };
}
