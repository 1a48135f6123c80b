import { setImmediate } from 'node:timers/promises';
import type { Subscriber } from 'zeromq';
import { type Log, SILENT_LOG } from '../../base/log.ts';
import type { PublishedBatch, ReplayOutcome } from '../event-source.ts';
import { attach, parseEndpoint } from './zmq-endpoint.ts';
import { loadZmq, nextMessage, type Zmq } from './zmq-library.ts';
import { fetchReplay } from './zmq-replay-client.ts';

export interface ZmqSubscriberOptions {
  /** Connected unless it begins with `bind+`, for engines that dial out. */
  readonly endpoint: string;
  /** Named by errors, as in `--engine`. */
  readonly flag: string;
  /** Where missed batches are asked for; without it {@link ZmqSubscriber.replay} finds nothing. */
  readonly replayEndpoint?: string | undefined;
  /** Only topics that begin with it; all unless given. */
  readonly topic?: string;
  readonly log?: Log;
}

const RECONNECT_MS = 100;
const RECONNECT_MAX_MS = 5000;
/** Batches handled before other work of the process gets its turn. */
const YIELD_EVERY = 256;

/** Receives one publisher's live batches, reconnecting for ever, and fetches those it missed. */
export class ZmqSubscriber {
  readonly #options: ZmqSubscriberOptions;
  readonly #log: Log;
  #zmq: Zmq | undefined;
  #socket: Subscriber | undefined;
  #endpoint = '';
  #malformed = 0;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ZmqSubscriberOptions) {
    this.#options = options;
    this.#log = options.log ?? SILENT_LOG;
  }

  /** The address with its port, when it was bound. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** Messages that were no `[topic, seq, payload]`, and dropped. */
  get malformed(): number {
    return this.#malformed;
  }

  /**
   * Delivers each batch as it comes; payloads are the callee's to keep. `onConnected` is called when a
   * publisher is reached, at first and again: what it published meanwhile was missed.
   */
  async start(onBatch: (batch: PublishedBatch) => void, onConnected?: () => void): Promise<void> {
    const { endpoint, flag, topic = '' } = this.#options;
    this.#zmq = await loadZmq(flag);
    const socket = new this.#zmq.Subscriber({
      // Unbounded: the publisher's mark is what bounds the stream.
      receiveHighWaterMark: 0,
      reconnectInterval: RECONNECT_MS,
      reconnectMaxInterval: RECONNECT_MAX_MS,
      linger: 0,
    });
    this.#socket = socket;
    socket.events.on('handshake', () => onConnected?.());
    socket.subscribe(topic);
    this.#endpoint = await attach(socket, parseEndpoint(endpoint, 'connect', flag), flag);
    this.#loop = this.#receive(socket, onBatch);
  }

  /** Fetches all kept batches from a number on, in order, and tells how that ended. */
  async replay(
    fromSeq: number,
    onBatch: (batch: PublishedBatch) => void,
    timeoutMs?: number,
  ): Promise<ReplayOutcome> {
    const { replayEndpoint, flag } = this.#options;
    if (replayEndpoint === undefined) return { end: 'unavailable', batches: 0 };
    this.#zmq ??= await loadZmq(flag);
    return fetchReplay(this.#zmq, { endpoint: replayEndpoint, flag, fromSeq, timeoutMs }, onBatch);
  }

  async stop(): Promise<void> {
    this.#socket?.close();
    this.#socket = undefined;
    await this.#loop;
  }

  async #receive(socket: Subscriber, onBatch: (batch: PublishedBatch) => void): Promise<void> {
    let sinceYield = 0;
    for (;;) {
      const frames = await nextMessage(socket);
      if (frames === undefined) return;
      const [topic, seq, payload, ...more] = frames;
      if (topic === undefined || seq?.length !== 8 || payload === undefined || more.length > 0) {
        if (this.#malformed++ === 0)
          this.#log.warn(
            { endpoint: this.#endpoint },
            'dropped a malformed message, and will do so silently',
          );
        continue;
      }
      try {
        onBatch({ topic: topic.toString(), seq: Number(seq.readBigUInt64BE()), payload });
      } catch (thrown) {
        this.#log.error(
          { err: thrown, endpoint: this.#endpoint },
          'a batch of KV events could not be taken in',
        );
      }
      if (++sinceYield >= YIELD_EVERY) {
        sinceYield = 0;
        // A backlog is read without ever leaving the microtask queue.
        await setImmediate();
      }
    }
  }
}
