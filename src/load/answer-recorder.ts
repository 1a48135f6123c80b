import { chunkFacts, chunkText } from './chunk-facts.ts';
import type { Answer, TokenSource } from './record.ts';
import { SseSplitter } from './sse-splitter.ts';

/** Builds an answer from the bytes of its stream as they arrive. */
export class AnswerRecorder {
  readonly #splitter = new SseSplitter();
  readonly #chunkMs: number[] = [];
  readonly #content: boolean[] = [];
  /** Completion tokens told so far, at each chunk; empty when the server tells only at the end. */
  readonly #told: number[] = [];
  readonly #texts: string[] | undefined;
  readonly #sentMs: number;
  #lastDataMs: number | undefined;
  #usage: Answer['usage'];
  /** False while content came after the last usage: some engines put one on the first chunk only. */
  #usageIsFinal = true;
  #finishReason: string | undefined;
  #worker: string | undefined;
  #error: string | undefined;
  #done = false;

  constructor(sentMs: number, keepText: boolean) {
    this.#sentMs = sentMs;
    this.#texts = keepText ? [] : undefined;
  }

  push(bytes: Buffer, nowMs: number): void {
    this.#splitter.push(bytes, (data) => this.#event(data, nowMs));
  }

  /** The answer after a stream that ended by itself. */
  finish(endMs: number, status: number): Answer {
    this.#splitter.end((data) => this.#event(data, endMs));
    const ended = this.#done || this.#finishReason !== undefined;
    if (this.#error === undefined && !ended) this.#error = 'the stream ended early, without a finish reason';
    if (this.#error === undefined && this.#chunkMs.length === 0) this.#error = 'the stream held no chunk';
    return this.answer(this.#error === undefined ? 'completed' : 'failed', endMs, {
      status,
      error: this.#error,
    });
  }

  answer(
    outcome: Answer['outcome'],
    endMs: number,
    more: { readonly status?: number | undefined; readonly error?: string | undefined } = {},
  ): Answer {
    const { tokens, source } = this.#tokens();
    return {
      outcome,
      sentMs: this.#sentMs,
      chunkMs: this.#chunkMs,
      chunkTokens: tokens,
      tokenSource: source,
      lastDataMs: this.#lastDataMs,
      endMs,
      usage: this.#usage,
      finishReason: this.#finishReason,
      worker: this.#worker,
      text: this.#texts?.join(''),
      ...more,
    };
  }

  #event(data: string, nowMs: number): void {
    if (data === '[DONE]') {
      this.#done = true;
      return;
    }
    const facts = chunkFacts(data);
    this.#lastDataMs = nowMs;
    if (facts.usage !== undefined) this.#usage = { ...this.#usage, ...facts.usage };
    if (facts.usage !== undefined || facts.content) this.#usageIsFinal = facts.usage !== undefined;
    this.#finishReason = facts.finishReason ?? this.#finishReason;
    this.#worker = facts.worker ?? this.#worker;
    this.#error ??= facts.error;
    if (!facts.choices) return;
    this.#chunkMs.push(nowMs);
    this.#content.push(facts.content);
    if (facts.usage !== undefined) this.#told.push(facts.usage.completionTokens);
    if (facts.content) this.#texts?.push(chunkText(data));
  }

  #tokens(): { readonly tokens: number[]; readonly source: TokenSource } {
    const chunks = this.#content.filter((content) => content).length;
    if (this.#usage !== undefined && !this.#usageIsFinal)
      this.#usage = { ...this.#usage, completionTokens: chunks };
    const total = this.#usage?.completionTokens;
    if (this.#told.length === this.#content.length && total !== undefined && chunks > 0) {
      return {
        tokens: this.#told.map((told, i) => Math.max(0, told - (this.#told[i - 1] ?? 0))),
        source: 'reported',
      };
    }
    if (total === undefined || total === chunks || chunks === 0) {
      return { tokens: this.#content.map(Number), source: 'one-each' };
    }
    let content = 0;
    const tokens = this.#content.map((has) => {
      if (!has) return 0;
      content++;
      return Math.floor((content * total) / chunks) - Math.floor(((content - 1) * total) / chunks);
    });
    return { tokens, source: 'spread' };
  }
}
