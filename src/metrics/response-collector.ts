import type { Clock } from '../base/clock.ts';
import type { ModelSeries } from './model-series.ts';
import type { MetricsVersion } from './registry.ts';
import type { WorkerIdentity, WorkerLoadMetrics, WorkerSeries } from './worker-load-metrics.ts';

/** Samples that wait before they are published, as newer versions of the reference do. */
const PENDING_LIMIT = 64;

export interface CollectorOptions {
  readonly series: ModelSeries;
  readonly workers: WorkerLoadMetrics;
  readonly clock: Clock;
  readonly version: MetricsVersion;
  /** Exemplars carry it, where the exposition has them. */
  readonly traceId: string | undefined;
  readonly chunkGaps: boolean;
  readonly onFirstToken: () => void;
  readonly onDetokenized: (meanMs: number) => void;
}

/** Measures one answer, from the call of the engine on; made by `RequestGuard.collect`. */
export class ResponseCollector {
  readonly #options: CollectorOptions;
  readonly #startMs: number;
  #inputTokens: number | undefined;
  #outputTokens = 0;
  #lastMs: number | undefined;
  #prefill: WorkerSeries | undefined;
  #decode: WorkerSeries | undefined;
  #cachedSeen = false;
  #ended = false;
  #detokenizeMs = 0;
  #detokenizeSamples = 0;
  /** Gaps in seconds and how many tokens share each, until published. */
  readonly #gaps: number[] = [];
  readonly #gapTokens: number[] = [];
  #pending = 0;

  constructor(options: CollectorOptions, inputTokens?: number) {
    this.#options = options;
    this.#startMs = options.clock.nowMs();
    this.#inputTokens = inputTokens;
  }

  /** Output tokens so far. */
  get outputTokens(): number {
    return this.#outputTokens;
  }

  /** The prompt's length, as soon as it is known. */
  setInputTokens(tokens: number): void {
    this.#inputTokens = tokens;
  }

  /** Who serves the request; the first report of each kind counts. One rank that does both is both. */
  attribute(prefill: WorkerIdentity | undefined, decode: WorkerIdentity | undefined): void {
    const { workers } = this.#options;
    if (prefill !== undefined) this.#prefill ??= workers.worker(prefill);
    if (decode !== undefined) this.#decode ??= workers.worker(decode);
  }

  /** A chunk of the answer with so many new tokens; one without tokens tells nothing of latency. */
  chunk(tokens: number, atMs: number = this.#options.clock.nowMs()): void {
    if (tokens <= 0 || this.#ended) return;
    this.#outputTokens += tokens;
    this.#options.series.outputTokens.inc(tokens);
    if (this.#lastMs === undefined) this.#firstChunk(atMs);
    else this.#laterChunk(tokens, (atMs - this.#lastMs) / 1000);
    this.#lastMs = atMs;
  }

  /** From the last usage record; the first report counts. */
  cachedTokens(tokens: number): void {
    if (this.#cachedSeen) return;
    this.#cachedSeen = true;
    this.#options.series.cachedTokens.observe(tokens);
  }

  /** Adds time spent turning tokens into text. */
  detokenized(durationMs: number): void {
    this.#detokenizeMs += durationMs;
    this.#detokenizeSamples++;
  }

  /** The answer is over, whatever its outcome. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#publish();
    const { series, version, onDetokenized } = this.#options;
    if (this.#outputTokens > 0 || version === '1.0.2') series.outputSequence.observe(this.#outputTokens);
    if (this.#detokenizeMs > 0) onDetokenized(this.#detokenizeMs / this.#detokenizeSamples);
  }

  #firstChunk(atMs: number): void {
    const { series, onFirstToken, traceId, clock } = this.#options;
    const ttftS = (atMs - this.#startMs) / 1000;
    if (traceId === undefined) series.ttft.observe(ttftS);
    else series.ttft.observeTraced(ttftS, 1, traceId, clock.wallMs() / 1000);
    if (this.#inputTokens !== undefined) series.inputTokens.observe(this.#inputTokens);
    this.#prefill?.setFirstToken(ttftS, this.#inputTokens ?? 0);
    onFirstToken();
  }

  #laterChunk(tokens: number, gapS: number): void {
    const { series, version, chunkGaps } = this.#options;
    const itlS = gapS / tokens;
    if (chunkGaps) series.chunkGap.observe(gapS);
    this.#decode?.setInterToken(itlS);
    this.#gaps.push(itlS);
    this.#gapTokens.push(tokens);
    this.#pending += tokens;
    if (this.#pending >= PENDING_LIMIT || version === '1.0.2') this.#publish();
  }

  #publish(): void {
    const { series, traceId, clock } = this.#options;
    for (const [i, gapS] of this.#gaps.entries()) {
      const tokens = this.#gapTokens[i]!;
      if (traceId === undefined) series.itl.observe(gapS, tokens);
      else series.itl.observeTraced(gapS, tokens, traceId, clock.wallMs() / 1000);
    }
    this.#gaps.length = 0;
    this.#gapTokens.length = 0;
    this.#pending = 0;
  }
}
