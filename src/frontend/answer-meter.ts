import type { Clock } from '../base/clock.ts';
import type { Usage } from '../formats/openai/usage.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Selection } from '../kv/selection.ts';
import type { RouterRequestMetrics } from '../metrics/router-request-metrics.ts';
import type { DispatchGuard, StageMetrics } from '../metrics/stage-metrics.ts';
import type { AttemptEnd } from './circuit-breakers.ts';
import type { Exchange } from './exchange.ts';
import { keepLease } from './lease-keeper.ts';

export interface MeterParts {
  readonly exchange: Exchange;
  readonly selection: Selection;
  readonly router: KvRouter;
  readonly requests: RouterRequestMetrics;
  readonly stages: StageMetrics;
  /** The engine's. */
  readonly url: string;
  /** The client has the beginning of the answer from another engine: its first token was long ago. */
  readonly continues: boolean;
  /** When another worker had computed the prompt. */
  readonly prefillDoneMs: number | undefined;
  readonly nowMs: () => number;
  readonly onFirstTokens: () => void;
}

/** Output tokens are booked in lots: loads are counted in blocks, and few blocks are smaller. */
const BOOKED_TOGETHER = 16;
const OUTCOMES = { done: 'success', cancelled: 'cancelled', failed: 'failure', refused: 'failure' } as const;

/** Everything that is booked and observed of one attempt at an engine, each at its instant. */
export class AnswerMeter {
  readonly url: string;
  readonly #parts: MeterParts;
  readonly #dispatch: DispatchGuard;
  #tokens = 0;
  #unbooked = 0;
  #firstMs: number | undefined;
  #ended = false;
  readonly #startMs: number;

  constructor(parts: MeterParts) {
    this.#parts = parts;
    this.url = parts.url;
    this.#startMs = parts.nowMs();
    parts.requests.started();
    parts.exchange.model.pool.circuits.began(parts.selection.worker.workerId);
    this.#dispatch = parts.stages.send(parts.nowMs() - parts.exchange.receivedMs);
  }

  /** Output tokens seen. */
  get tokenCount(): number {
    return this.#tokens;
  }

  /** Keeps the booking while the attempt lives; returns what ends that. */
  keepLease(clock: Clock): () => void {
    const { router, selection } = this.#parts;
    return keepLease(clock, router, selection.booking);
  }

  /** The engine began to answer. */
  accepted(): void {
    this.#dispatch.sent();
  }

  /** The first event with tokens; `more` came with later events of the same read. */
  firstTokens(tokens: number, more: number, atMs: number): void {
    const { exchange, selection, requests, continues } = this.#parts;
    this.#dispatch.firstItem();
    exchange.collector.chunk(tokens, atMs);
    exchange.collector.chunk(more, atMs);
    this.#parts.onFirstTokens();
    if (!continues) requests.firstToken(atMs - exchange.receivedMs);
    selection.booking?.prefillComplete();
    this.#firstMs ??= atMs;
    this.#book(tokens + more, atMs);
  }

  tokens(tokens: number, atMs: number): void {
    this.#parts.exchange.collector.chunk(tokens, atMs);
    this.#book(tokens, atMs);
  }

  /** The engine's own count, which has the last word: tokens that the stream did not show come in now. */
  usage(usage: Usage): void {
    const { exchange, selection, router, nowMs } = this.#parts;
    const missing = usage.completionTokens - this.#tokens;
    if (missing > 0 && this.#tokens === 0) this.firstTokens(missing, 0, nowMs());
    else if (missing > 0) this.tokens(missing, nowMs());
    if (usage.cachedTokens === undefined) return;
    exchange.collector.cachedTokens(usage.cachedTokens);
    router.recordActual(selection.decision, usage.cachedTokens);
  }

  /** The attempt is over; `failed` speaks against the worker. Later calls do nothing. */
  end(outcome: AttemptEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#dispatch.end();
    this.#flush();
    const { exchange, router, selection, nowMs } = this.#parts;
    exchange.model.pool.circuits.ended(selection.worker.workerId, outcome);
    selection.booking?.free(outcome === 'refused' ? 'failed' : outcome);
    router.recordOutcome(selection.decision, {
      outcome: OUTCOMES[outcome],
      latencyMs: nowMs() - this.#startMs,
      outputTokens: this.#tokens,
    });
    this.#parts.requests.ended(this.#tokens, this.#parts.prefillDoneMs, this.#firstMs);
  }

  #book(tokens: number, atMs: number): void {
    const { router, requests } = this.#parts;
    const before = router.tracksOutputBlocks ? this.#blocks() : 0;
    this.#tokens += tokens;
    if (router.tracksOutputBlocks && this.#blocks() > before && this.#firstMs !== undefined)
      requests.outputBlock(this.#firstMs, atMs, this.#tokens);
    this.#unbooked += tokens;
    if (this.#unbooked >= BOOKED_TOGETHER) this.#flush();
  }

  /** Blocks of prompt and answer together. */
  #blocks(): number {
    const { selection, router } = this.#parts;
    return Math.ceil((selection.isl + this.#tokens) / router.blockSize);
  }

  #flush(): void {
    if (this.#unbooked > 0) this.#parts.selection.booking?.outputTokens(this.#unbooked);
    this.#unbooked = 0;
  }
}
