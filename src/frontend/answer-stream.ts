import { fail, type KvasirError } from '../base/errors.ts';
import type { BegunAnswer } from '../formats/openai/begun-answer.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import type { Joining } from '../formats/openai/joined-chunk.ts';
import { responseErrorFrame } from '../formats/openai/response-event.ts';
import { SSE_DONE, sseFrame } from '../formats/sse/frame.ts';
import { RelaySplitter, type SplitterOptions } from '../formats/sse/relay-splitter.ts';
import { EventStream } from '../transport/http-server-sse.ts';
import type { Relay, RelayListener } from '../transport/relay.ts';
import type { AnswerMeter } from './answer-meter.ts';
import { type Endpoint, type Exchange, isChunked } from './exchange.ts';

const NOTHING = Buffer.alloc(0);
const DONE = Buffer.from(SSE_DONE);

/** One engine's part in an answer. */
export interface Leg extends Omit<SplitterOptions, 'continues'> {
  /** The engine goes on with a chat as a completion of tokens. */
  readonly completes: boolean;
  readonly meter: AnswerMeter;
  /** For the client; only the first leg's are sent. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Passes engines' event streams to one client, counting as they go: usually one engine's, or several legs of an
 * answer that was taken over. The client's stream opens with the first bytes for it, so that until then nothing
 * is lost by trying another engine.
 */
export class AnswerStream implements RelayListener {
  readonly #exchange: Exchange;
  #leg: Leg;
  #splitter: RelaySplitter;
  #earlier: BegunAnswer | undefined;
  #stream: EventStream | undefined;
  #relay: Pick<Relay, 'resume' | 'complete'> | undefined;

  constructor(exchange: Exchange, leg: Leg) {
    this.#exchange = exchange;
    this.#leg = leg;
    this.#splitter = new RelaySplitter(leg);
  }

  /** What the engine of this leg has told. */
  get splitter(): RelaySplitter {
    return this.#splitter;
  }

  /** Whether the client got any of it. */
  get begun(): boolean {
    return this.#stream !== undefined;
  }

  /** Whether the engine has said all: some servers leave out the `[DONE]` after the last choice has finished. */
  get whole(): boolean {
    const { endpoint, request, prompt } = this.#exchange;
    const { done, finishes } = this.#splitter;
    const choices =
      isChunked(endpoint) && prompt.length === prompt.tokens.length ? (request.n ?? 1) : undefined;
    return done || (choices !== undefined && finishes >= choices);
  }

  /** What the client has of the answer, for another engine to go on with; undefined if that is more than text. */
  get generated(): BegunAnswer | undefined {
    const earlier = this.#earlier;
    const { begun } = this.#splitter;
    // What was generated before is part of the prompt that a later engine tells of.
    if (begun === undefined || earlier === undefined || earlier.tokens === 0) return begun;
    return {
      ...earlier,
      text: earlier.text + begun.text,
      tokens: earlier.tokens + begun.tokens,
      ids: earlier.ids && begun.ids && [...earlier.ids, ...begun.ids],
    };
  }

  /** Another engine takes its turn. */
  next(leg: Leg): void {
    this.#earlier = this.generated ?? this.#earlier;
    this.#leg = leg;
    this.#splitter = new RelaySplitter({ ...leg, ...(this.begun && { continues: this.#continues }) });
  }

  get #continues(): Joining['begun'] {
    const { promptTokens, tokens = 0, head } = this.#earlier ?? {};
    return { promptTokens, tokens, chat: this.#leg.completes ? head : undefined };
  }

  /** Where the bytes come from: told when a slow client has read on, and when the answer is whole. */
  follow(relay: Pick<Relay, 'resume' | 'complete'>): void {
    this.#relay = relay;
  }

  begin(): void {
    this.#leg.meter.accepted();
  }

  data(bytes: Buffer, atMs: number): boolean {
    const splitter = this.#splitter;
    const before = splitter.tokens;
    const out = splitter.push(bytes);
    const fresh = splitter.tokens - before;
    if (fresh > 0) {
      if (before > 0) this.#leg.meter.tokens(fresh, atMs);
      else this.#leg.meter.firstTokens(splitter.firstTokens, fresh - splitter.firstTokens, atMs);
    }
    if (splitter.done) this.#relay?.complete();
    if (out.length === 0) return true;
    if (this.#open().write(out)) return true;
    this.#stream?.onDrain(() => this.#relay?.resume());
    return false;
  }

  /** The engine's stream is over: passes on what is left, and says so if it was cut short. */
  finish(brokeOff?: KvasirError): void {
    const stream = this.#open();
    const error = brokeOff ?? (this.#splitter.done ? undefined : this.unfinished());
    if (error === undefined)
      stream.write(Buffer.concat([this.#splitter.rest(), this.#splitter.done ? NOTHING : DONE]));
    else stream.write(errorFrames(this.#exchange.endpoint, error));
    stream.end();
  }

  /** Why the engine's stream, which is over, has not all of the answer; undefined if another engine could not mend it. */
  unfinished(): KvasirError | undefined {
    const { withholds, error } = this.#splitter;
    if (this.whole && !withholds) return undefined;
    const reason = withholds ? `it failed: ${error?.message}` : 'its stream ended without [DONE]';
    return fail('KV_ENGINE_BROKE_OFF', { url: this.#leg.meter.url, reason });
  }

  #open(): EventStream {
    if (this.#stream === undefined) {
      this.#stream = new EventStream(this.#exchange.reply, this.#leg.headers);
      this.#exchange.guard.streaming();
    }
    return this.#stream;
  }
}

/** How a stream of the endpoint tells that it has failed. */
function errorFrames(endpoint: Endpoint, error: KvasirError): string {
  const body = errorBody(error);
  if (endpoint !== 'responses') return sseFrame(JSON.stringify(body)) + SSE_DONE;
  return responseErrorFrame(body);
}
