import type { Publisher } from 'zeromq';
import { type Log, SILENT_LOG } from '../../base/log.ts';
import { ReplayRing, type RingEntry } from '../replay-ring.ts';
import { attach, parseEndpoint } from './zmq-endpoint.ts';
import { seqFrame } from './zmq-frames.ts';
import { loadZmq } from './zmq-library.ts';
import { ReplayServer } from './zmq-replay-server.ts';

export interface ZmqPublisherOptions {
  /** Bound unless it begins with `connect+`. */
  readonly endpoint: string;
  /** Named by errors, as in `--kv-events`. */
  readonly flag: string;
  /** Where missed batches are asked for again; none unless given. */
  readonly replayEndpoint?: string | undefined;
  readonly replayFlag?: string;
  readonly topic?: string;
  /** Messages held per slow subscriber before its newest are dropped. */
  readonly highWaterMark?: number;
  /** Batches kept for replay, and the bytes they may take. */
  readonly replayBatches?: number;
  readonly replayBytes?: number;
  /** `topic`: replies carry the topic, as since vLLM 0.26; `plain`: as before, and in SGLang. */
  readonly replayLayout?: 'topic' | 'plain';
  readonly log?: Log;
}

const HIGH_WATER_MARK = 100_000;
const REPLAY_BATCHES = 10_000;
const REPLAY_BYTES = 256 * 1024 * 1024;
/** Batches that wait for the socket at most; it takes them at once, so more means that it is stuck. */
const MAX_QUEUED = 100_000;
/** How long a closing socket may take to hand over what is under way. */
const LINGER_MS = 500;

/** One rank's live stream of numbered batches, `[topic, seq (8 bytes, big-endian), payload]`, and its replay. */
export class ZmqPublisher {
  readonly #options: ZmqPublisherOptions;
  readonly #ring: ReplayRing;
  readonly #topic: string;
  #socket: Publisher | undefined;
  #replay: ReplayServer | undefined;
  #endpoint = '';
  #nextSeq = 0;
  #queue: RingEntry[] = [];
  #sending = false;
  #sent: Promise<void> = Promise.resolve();
  #failed = 0;

  constructor(options: ZmqPublisherOptions) {
    this.#options = options;
    this.#topic = options.topic ?? '';
    this.#ring = new ReplayRing(options.replayBatches ?? REPLAY_BATCHES, options.replayBytes ?? REPLAY_BYTES);
  }

  /** Where consumers connect, its port resolved. */
  get endpoint(): string {
    return this.#endpoint;
  }

  get replayEndpoint(): string | undefined {
    return this.#replay?.endpoint;
  }

  /** Number of the last published batch, -1 before the first. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** Batches that were not handed to libzmq; their numbers are used up. */
  get failed(): number {
    return this.#failed;
  }

  async start(): Promise<void> {
    const { endpoint, flag, replayEndpoint, replayFlag = '--replay', log = SILENT_LOG } = this.#options;
    const zmq = await loadZmq(flag);
    const socket = new zmq.Publisher({
      sendHighWaterMark: this.#options.highWaterMark ?? HIGH_WATER_MARK,
      linger: LINGER_MS,
    });
    this.#socket = socket;
    try {
      this.#endpoint = await attach(socket, parseEndpoint(endpoint, 'bind', flag), flag);
      if (replayEndpoint === undefined) return;
      this.#replay = new ReplayServer(zmq, {
        endpoint: replayEndpoint,
        flag: replayFlag,
        ring: this.#ring,
        topic: this.#topic,
        layout: this.#options.replayLayout ?? 'topic',
        log,
      });
      await this.#replay.start();
    } catch (thrown) {
      await this.stop();
      throw thrown;
    }
  }

  /** Numbers and sends a batch, which must not change afterwards; returns its number. Never blocks. */
  publish(payload: Uint8Array): number {
    const seq = this.#nextSeq++;
    this.#ring.push(seq, payload);
    if (this.#queue.length < MAX_QUEUED) this.#queue.push({ seq, payload });
    else this.#failed++;
    if (!this.#sending) {
      this.#sending = true;
      this.#sent = this.#send();
    }
    return seq;
  }

  /** Leaves a number out, which tells consumers that something is lost; what was kept is of no use without it. */
  skip(): void {
    this.#nextSeq++;
    this.#ring.clear();
  }

  /** Sends what is queued, one after the other: the binding refuses sends that overlap. */
  async #send(): Promise<void> {
    while (this.#queue.length > 0) {
      const batches = this.#queue;
      this.#queue = [];
      for (const { seq, payload } of batches) {
        try {
          await this.#socket?.send([this.#topic, seqFrame(seq), payload]);
        } catch (thrown) {
          this.#failed++;
          this.#options.log?.warn({ err: thrown, seq }, 'a batch of KV events could not be sent');
        }
      }
    }
    this.#sending = false;
  }

  /** Sends what is queued, then closes. */
  async stop(): Promise<void> {
    await this.#sent;
    await this.#replay?.stop();
    this.#replay = undefined;
    this.#socket?.close();
    this.#socket = undefined;
  }
}
