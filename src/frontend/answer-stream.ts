import { fail, type KvasirError } from '../base/errors.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import { SSE_DONE, sseFrame } from '../formats/sse/frame.ts';
import { RelaySplitter } from '../formats/sse/relay-splitter.ts';
import { EventStream } from '../transport/http-server-sse.ts';
import type { RelayListener } from '../transport/relay.ts';
import type { AnswerMeter } from './answer-meter.ts';
import type { Exchange } from './exchange.ts';

/**
 * Passes one engine's event stream to the client, counting as it goes. The client's stream opens with the first
 * bytes for it, so that until then another engine may be tried.
 */
export class AnswerStream implements RelayListener {
  readonly splitter: RelaySplitter;
  readonly #exchange: Exchange;
  readonly #meter: AnswerMeter;
  readonly #headers: Readonly<Record<string, string>>;
  #stream: EventStream | undefined;
  #resume: () => void = () => {};

  constructor(
    exchange: Exchange,
    meter: AnswerMeter,
    options: { readonly stripUsage: boolean; readonly headers: Readonly<Record<string, string>> },
  ) {
    this.#exchange = exchange;
    this.#meter = meter;
    this.#headers = options.headers;
    this.splitter = new RelaySplitter(options);
  }

  /** Whether the client got any of it: no other engine can take over then. */
  get begun(): boolean {
    return this.#stream !== undefined;
  }

  /** What to call when a slow client has read on. */
  onResume(resume: () => void): void {
    this.#resume = resume;
  }

  begin(): void {
    this.#meter.accepted();
  }

  data(bytes: Buffer, atMs: number): boolean {
    const { splitter } = this;
    const before = splitter.tokens;
    const out = splitter.push(bytes);
    const fresh = splitter.tokens - before;
    if (fresh > 0) {
      if (before > 0) this.#meter.tokens(fresh, atMs);
      else this.#meter.firstTokens(splitter.firstTokens, fresh - splitter.firstTokens, atMs);
    }
    if (out.length === 0) return true;
    if (this.#open().write(out)) return true;
    this.#stream?.onDrain(this.#resume);
    return false;
  }

  /** The engine's stream is over: passes on what is left, and says so if it was cut short. */
  finish(brokeOff: KvasirError | undefined): void {
    const stream = this.#open();
    const error = brokeOff ?? (this.splitter.done ? undefined : this.#unfinished());
    if (error === undefined) stream.write(this.splitter.rest());
    else stream.write(sseFrame(JSON.stringify(errorBody(error))) + SSE_DONE);
    stream.end();
  }

  #unfinished(): KvasirError {
    return fail('KV_ENGINE_BROKE_OFF', { url: this.#meter.url, reason: 'its stream ended without [DONE]' });
  }

  #open(): EventStream {
    if (this.#stream === undefined) {
      this.#stream = new EventStream(this.#exchange.reply, this.#headers);
      this.#exchange.guard.streaming();
    }
    return this.#stream;
  }
}
