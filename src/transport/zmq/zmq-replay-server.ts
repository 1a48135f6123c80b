import { setImmediate } from 'node:timers/promises';
import type { Router } from 'zeromq';
import type { Log } from '../../base/log.ts';
import type { ReplayRing } from '../replay-ring.ts';
import { attach, parseEndpoint } from './zmq-endpoint.ts';
import { END_SEQ, seqFrame } from './zmq-frames.ts';
import { nextMessage, type Zmq } from './zmq-library.ts';

export interface ReplayServerOptions {
  readonly endpoint: string;
  readonly flag: string;
  readonly ring: ReplayRing;
  readonly topic: string;
  readonly layout: 'topic' | 'plain';
  readonly log: Log;
}

const END_FRAME = seqFrame(END_SEQ);
const EMPTY = Buffer.alloc(0);
/** A client that takes nothing for this long loses its replay, so that others get theirs. */
const SEND_TIMEOUT_MS = 2000;
/** Batches sent before other work of the process gets its turn. */
const YIELD_EVERY = 256;

/**
 * Answers `[client, "", first seq]` with all batches kept from that number on and an end marker. One request
 * at a time, in order of arrival; other requests are ignored, as vLLM does.
 */
export class ReplayServer {
  readonly #options: ReplayServerOptions;
  readonly #socket: Router;
  #endpoint = '';
  #loop: Promise<void> = Promise.resolve();

  constructor(zmq: Zmq, options: ReplayServerOptions) {
    this.#options = options;
    // Mandatory: without it a full or departed client would have its batches dropped silently.
    this.#socket = new zmq.Router({ mandatory: true, sendTimeout: SEND_TIMEOUT_MS, linger: 0 });
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  async start(): Promise<void> {
    const { endpoint, flag } = this.#options;
    this.#endpoint = await attach(this.#socket, parseEndpoint(endpoint, 'bind', flag), flag);
    this.#loop = this.#serve();
  }

  async stop(): Promise<void> {
    this.#socket.close();
    await this.#loop;
  }

  async #serve(): Promise<void> {
    const { log } = this.#options;
    for (;;) {
      const frames = await nextMessage(this.#socket);
      if (frames === undefined) return;
      const [client, , start] = frames;
      if (frames.length !== 3 || client === undefined || start?.length !== 8) {
        log.warn({ frames: frames.length }, 'ignored a malformed request for replay');
        continue;
      }
      try {
        await this.#answer(client, start.readBigUInt64BE());
      } catch (thrown) {
        if (this.#socket.closed) return;
        log.warn({ err: thrown }, 'a replay of KV events was broken off');
      }
    }
  }

  async #answer(client: Buffer, start: bigint): Promise<void> {
    const { ring, topic } = this.#options;
    // What is published from now on reaches the client live.
    const { lastSeq } = ring;
    let entry = ring.from(Number(start));
    for (let sent = 1; entry !== undefined && entry.seq <= lastSeq; sent++) {
      await this.#socket.send(this.#reply(client, topic, seqFrame(entry.seq), entry.payload));
      if (sent % YIELD_EVERY === 0) await setImmediate();
      entry = ring.from(entry.seq + 1);
    }
    await this.#socket.send(this.#reply(client, '', END_FRAME, EMPTY));
  }

  #reply(client: Buffer, topic: string, seq: Buffer, payload: Uint8Array): (Buffer | Uint8Array | string)[] {
    return this.#options.layout === 'topic'
      ? [client, EMPTY, topic, seq, payload]
      : [client, EMPTY, seq, payload];
  }
}
