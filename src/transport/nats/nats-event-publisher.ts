import type { Msg } from '@nats-io/transport-node';
import type { Log } from '../../base/log.ts';
import { ReplayRing } from '../replay-ring.ts';
import { packBatch, unpackSeq } from './batch-message.ts';
import type { NatsConnection } from './nats-connection.ts';

export interface NatsEventPublisherOptions {
  readonly connection: NatsConnection;
  /** Of the worker's events; the rank's are one token below. */
  readonly subject: string;
  readonly dpRank: number;
  readonly log: Log;
  /** Fetches what this publisher does not keep, of a stream that it only passes on. */
  readonly replay?:
    | ((fromSeq: number, onBatch: (seq: number, payload: Uint8Array) => void) => Promise<void>)
    | undefined;
}

const REPLAY_BATCHES = 10_000;
const REPLAY_BYTES = 64 * 1024 * 1024;
const NOTHING = new Uint8Array(0);

/** One rank's numbered batches on a NATS subject, and the latest of them again for consumers that missed some. */
export class NatsEventPublisher {
  readonly #options: NatsEventPublisherOptions;
  #ring = new ReplayRing(REPLAY_BATCHES, REPLAY_BYTES);
  readonly #subject: string;
  #nextSeq = 0;
  #unsubscribe: () => void = () => {};
  #tooLarge = 0;

  constructor(options: NatsEventPublisherOptions) {
    this.#options = options;
    this.#subject = `${options.subject}.${options.dpRank}`;
  }

  /** Answers requests for missed batches. */
  start(): void {
    const { connection } = this.#options;
    this.#unsubscribe = connection.subscribe(
      `${this.#subject}.replay`,
      (message) => void this.#answer(message),
    );
  }

  /** Numbers a batch and sends it; while the server is away it is only kept. */
  publish(payload: Uint8Array): number {
    const seq = this.#nextSeq;
    this.pass(seq, payload);
    return seq;
  }

  /** Sends a batch that another publisher numbered. */
  pass(seq: number, payload: Uint8Array): void {
    const { connection, log } = this.#options;
    // After a jump, or a restart of the engine, what was kept no longer leads up to this.
    if (seq !== this.#nextSeq) this.#ring = new ReplayRing(REPLAY_BATCHES, REPLAY_BYTES);
    this.#ring.push(seq, payload);
    this.#nextSeq = seq + 1;
    const sent = connection.publish(this.#subject, packBatch(seq, payload));
    if (!sent && connection.isConnected && this.#tooLarge++ === 0)
      log.warn(
        { subject: this.#subject, sizeBytes: payload.length },
        'a batch is larger than NATS takes: left out',
      );
  }

  stop(): void {
    this.#unsubscribe();
  }

  async #answer({ data, reply }: Msg): Promise<void> {
    const fromSeq = unpackSeq(data);
    const { connection, replay } = this.#options;
    if (reply === undefined || reply === '' || fromSeq === undefined) return;
    const send = (seq: number, payload: Uint8Array): void =>
      void connection.publish(reply, packBatch(seq, payload));
    const oldest = this.#ring.from(fromSeq);
    try {
      if (replay !== undefined && oldest?.seq !== fromSeq && fromSeq < this.#nextSeq)
        await replay(fromSeq, send);
      else
        for (let entry = oldest; entry !== undefined; entry = this.#ring.from(entry.seq + 1))
          send(entry.seq, entry.payload);
      connection.publish(reply, NOTHING);
    } catch {
      // No end is sent: the asker notices, and asks again.
    }
  }
}
