import type { KvasirError } from '../base/errors.ts';
import type { AnswerChunks, ChunkExtras, ToolCallHead } from '../formats/openai/answer.ts';
import { errorBody } from '../formats/openai/error-body.ts';
import type { Usage } from '../formats/openai/usage.ts';
import { SSE_DONE, sseFrame } from '../formats/sse/frame.ts';
import type { ChoiceEnd } from './choice.ts';
import type { GenerationListener } from './generation.ts';

/** Where the frames go; see `EventStream`. */
export interface FrameStream {
  write(frame: string): boolean;
  onDrain(listener: () => void): void;
  end(): void;
}

export interface Framing {
  frame(chunk: string): string;
  error(error: KvasirError): string;
  /** After the last event. */
  readonly end: string;
}

const DATA_FRAMES: Framing = {
  frame: sseFrame,
  error: (error) => sseFrame(JSON.stringify(errorBody(error))),
  end: SSE_DONE,
};

/** What is put before an answer: the prompt, where it is to be echoed. */
export interface Prefix {
  readonly text: string;
  readonly ids: readonly number[];
}

export interface StreamedAnswerOptions {
  readonly chunks: AnswerChunks;
  /** Begins the text of each choice; as many as there are choices. */
  readonly prefixes: readonly Prefix[];
  /** The call that a choice is. */
  readonly callOf: (index: number) => ToolCallHead | undefined;
  /** Log probabilities of a choice's next tokens, where they are asked for. */
  readonly logprobsOf: (index: number, ids: readonly number[]) => object | undefined;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  /** Makes frames of what the chunks are; each is one event of a `[DONE]`-ended stream unless given. */
  readonly framing?: Framing;
  /** Begins the event stream; not called if the request fails before its first token. */
  readonly open: () => FrameStream;
  /** Prompt tokens of a choice, and what the whole answer used. */
  readonly promptTokensOf: (index: number) => number;
  readonly usage: () => Usage;
  /** Before each frame is sent. */
  readonly sending: (bytes: number) => void;
  /** The answer is over; with an error if it failed before the stream began. */
  readonly over: (error?: KvasirError) => void;
}

/**
 * Writes an answer as server-sent events while it is made: one chunk per step of the engine. For a client that
 * reads too slowly the text of several steps goes into one chunk, so that no more than the text itself waits.
 */
export class StreamedAnswer implements GenerationListener {
  readonly #options: StreamedAnswerOptions;
  readonly #framing: Framing;
  readonly #waiting: { text: string; tokens: number; ids: number[]; isFirst: boolean }[];
  #stream: FrameStream | undefined;
  #stalled = false;

  constructor(options: StreamedAnswerOptions) {
    this.#options = options;
    this.#framing = options.framing ?? DATA_FRAMES;
    this.#waiting = options.prefixes.map(({ text, ids }) => ({
      text,
      tokens: 0,
      ids: [...ids],
      isFirst: true,
    }));
  }

  text(index: number, text: string, tokens: number, ids: readonly number[]): void {
    this.#begin();
    const waiting = this.#waiting[index]!;
    waiting.text += text;
    waiting.ids.push(...ids);
    waiting.tokens = tokens;
    // As in vLLM every step has its chunk, one without text included: it tells that a token is there.
    if (!this.#stalled) this.#flush(index);
  }

  end(index: number, text: string, { reason, stop, tokens, ids }: ChoiceEnd): void {
    this.#begin();
    const waiting = this.#waiting[index]!;
    waiting.text += text;
    waiting.ids.push(...ids);
    const usage = this.#usageOf(index, tokens);
    const { text: last, more } = this.#take(index);
    this.#write(this.#options.chunks.finish(index, last, reason, usage, stop, more));
  }

  done(): void {
    const { chunks, includeUsage, usage } = this.#options;
    if (includeUsage) this.#write(chunks.usage(usage()));
    this.#finish();
  }

  failed(error: KvasirError): void {
    if (this.#stream === undefined) {
      this.#options.over(error);
      return;
    }
    // The status is sent already: the error goes where the next chunk would.
    this.#send(this.#framing.error(error));
    this.#finish();
  }

  #begin(): void {
    if (this.#stream !== undefined) return;
    this.#stream = this.#options.open();
    for (const index of this.#waiting.keys()) {
      const opening = this.#options.chunks.opening(index, this.#usageOf(index, 0));
      if (opening !== '') this.#write(opening);
    }
  }

  #flush(index: number): void {
    const usage = this.#usageOf(index, this.#waiting[index]!.tokens);
    const { text, more } = this.#take(index);
    this.#write(this.#options.chunks.text(index, text, usage, more));
  }

  #take(index: number): { readonly text: string; readonly more: ChunkExtras } {
    const { callOf, logprobsOf } = this.#options;
    const waiting = this.#waiting[index]!;
    const { text, ids, isFirst } = waiting;
    waiting.text = '';
    waiting.ids = [];
    waiting.isFirst = false;
    return { text, more: { isFirst, call: callOf(index), logprobs: logprobsOf(index, ids) } };
  }

  #usageOf(index: number, completionTokens: number): Usage | undefined {
    const { continuousUsage, promptTokensOf } = this.#options;
    return continuousUsage ? { promptTokens: promptTokensOf(index), completionTokens } : undefined;
  }

  #write(chunk: string): void {
    if (chunk !== '') this.#send(this.#framing.frame(chunk));
  }

  #send(frame: string): void {
    this.#options.sending(Buffer.byteLength(frame));
    if (this.#stream!.write(frame) || this.#stalled) return;
    this.#stalled = true;
    this.#stream!.onDrain(() => {
      this.#stalled = false;
      for (const [index, waiting] of this.#waiting.entries()) if (waiting.text !== '') this.#flush(index);
    });
  }

  #finish(): void {
    const { end } = this.#framing;
    this.#options.sending(end.length);
    if (end !== '') this.#stream!.write(end);
    this.#stream!.end();
    this.#options.over();
  }
}
