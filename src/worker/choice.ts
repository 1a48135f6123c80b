import { fail, type KvasirError } from '../base/errors.ts';
import type { AdmissionNews, Finish, RequestSink, TokenBatch } from '../engine/simulated-engine.ts';
import type { FinishReason } from '../formats/openai/answer.ts';
import type { TokenStream } from '../tokenizer/tokenizer.ts';
import type { AnswerLength } from './answer-plan.ts';
import type { StopMatcher } from './stop-matcher.ts';

/** How one choice ended. */
export interface ChoiceEnd {
  readonly reason: FinishReason;
  /** The stop string that ended it. */
  readonly stop: string | undefined;
  /** How many the choice has in all. */
  readonly tokens: number;
  /** Those of the last piece. */
  readonly ids: readonly number[];
}

/** Takes what becomes of one choice: a piece of text for every step, empty where it is not certain yet, then one end or failure. */
export interface ChoiceListener {
  /** `tokens` is how many the choice has so far, `ids` are those that have come since the last call. */
  text(index: number, text: string, tokens: number, ids: readonly number[]): void;
  /** With the last piece of text. */
  end(index: number, text: string, end: ChoiceEnd): void;
  failed(index: number, error: KvasirError): void;
}

/** Hears of the engine's work on choices, for metrics. */
export interface ChoiceObserver {
  /** The first time only. */
  prefixLookup(promptTokens: number, cachedTokens: number, loadedTokens: number): void;
  firstToken(ttftS: number, promptTokens: number, cachedTokens: number, loadedTokens: number): void;
  /** That many, each so long after the one before. */
  laterTokens(itlS: number, tokens: number): void;
}

export interface ChoiceOptions {
  readonly promptTokens: number;
  readonly arrivalMs: number;
  readonly observer: ChoiceObserver;
  readonly index: number;
  readonly length: AnswerLength;
  readonly minTokens: number;
  readonly decoder: TokenStream;
  readonly stops: StopMatcher;
  readonly listener: ChoiceListener;
  /** Takes the request back from the engine. */
  readonly cancel: () => void;
}

const REJECTED = /^request rejected: /;

/** One answer in the making: turns the engine's tokens into text and finds its end. */
export class Choice implements RequestSink {
  readonly #options: ChoiceOptions;
  #tokens = 0;
  #held = '';
  #heldIds: number[] = [];
  #ended = false;
  cachedTokens: number | undefined;
  admittedMs: number | undefined;
  firstTokenMs: number | undefined;
  #lastTokenMs = 0;
  #loadedTokens = 0;

  constructor(options: ChoiceOptions) {
    this.#options = options;
  }

  /** Tokens that count as generated; those after a stop string do not. */
  get tokenCount(): number {
    return this.#tokens;
  }

  get ended(): boolean {
    return this.#ended;
  }

  admitted({ atMs, cachedTokens, loadedTokens }: AdmissionNews): void {
    this.cachedTokens = cachedTokens;
    this.#loadedTokens = loadedTokens;
    this.admittedMs = atMs;
    this.#options.observer.prefixLookup(this.#options.promptTokens, cachedTokens, loadedTokens);
  }

  tokens({ tokenIds, atMs }: TokenBatch): void {
    this.#observe(tokenIds.length, atMs);
    const { index, decoder, stops, minTokens, length, listener } = this.#options;
    let text = this.#held;
    const ids = this.#heldIds;
    this.#held = '';
    this.#heldIds = [];
    for (const id of tokenIds) {
      ids.push(id);
      const piece = decoder.push(id);
      if (++this.#tokens <= minTokens) {
        text += piece;
        continue;
      }
      const result = stops.push(piece);
      text += result.text;
      if (result.stop === undefined) continue;
      this.#ended = true;
      this.#options.cancel();
      listener.end(index, text, { reason: 'stop', stop: result.stop, tokens: this.#tokens, ids });
      return;
    }
    // The last piece goes out together with the end, which the engine tells next.
    if (this.#tokens < length.tokens) listener.text(index, text, this.#tokens, ids);
    else {
      this.#held = text;
      this.#heldIds = ids;
    }
  }

  finished({ reason, message }: Finish): void {
    if (this.#ended) return;
    this.#ended = true;
    const { index, length, listener } = this.#options;
    if (reason === 'rejected') {
      const facts = { reason: (message ?? '').replace(REJECTED, '') };
      listener.failed(index, fail('KV_ENGINE_REJECTED', facts));
    } else if (reason === 'aborted') listener.failed(index, fail('KV_ENGINE_STOPPING', { reason: message }));
    else this.#end(index, this.#tokens < length.tokens ? 'length' : length.reason);
  }

  #observe(tokens: number, atMs: number): void {
    const { observer, promptTokens, arrivalMs } = this.#options;
    let later = tokens;
    if (this.firstTokenMs === undefined) {
      this.firstTokenMs = this.#lastTokenMs = atMs;
      observer.firstToken(
        (atMs - arrivalMs) / 1000,
        promptTokens,
        this.cachedTokens ?? 0,
        this.#loadedTokens,
      );
      later--;
    }
    if (later > 0) observer.laterTokens((atMs - this.#lastTokenMs) / 1000 / later, later);
    this.#lastTokenMs = atMs;
  }

  #end(index: number, planned: FinishReason): void {
    const { decoder, stops, listener } = this.#options;
    const last = stops.push(decoder.flush());
    const text = this.#held + last.text;
    const told = { tokens: this.#tokens, ids: this.#heldIds };
    if (last.stop === undefined)
      listener.end(index, text + stops.flush(), { ...told, reason: planned, stop: undefined });
    else listener.end(index, text, { ...told, reason: 'stop', stop: last.stop });
  }
}
