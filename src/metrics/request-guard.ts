import type { Clock } from '../base/clock.ts';
import type { FrontendFamilies } from './frontend-families.ts';
import type { ModelSeries } from './model-series.ts';
import { type EndpointName, type ErrorType, errorTypeOf, type RequestType } from './outcome.ts';
import type { MetricsVersion } from './registry.ts';
import { type CollectorOptions, ResponseCollector } from './response-collector.ts';
import type { WorkerLoadMetrics } from './worker-load-metrics.ts';

/** What guards share; made once per frontend. */
export interface GuardContext {
  readonly families: FrontendFamilies;
  readonly workers: WorkerLoadMetrics;
  readonly clock: Clock;
  readonly version: MetricsVersion;
  readonly overloadStatus: number;
  readonly chunkGaps: boolean;
}

/**
 * One request, from the handler's entry to its end. Until told otherwise the outcome is an internal error, so that
 * an early return counts as one.
 */
export class RequestGuard {
  readonly #context: GuardContext;
  readonly #series: ModelSeries;
  readonly #endpoint: EndpointName;
  readonly #requestType: RequestType;
  readonly #traceId: string | undefined;
  readonly #startMs: number;
  #errorType: ErrorType | '' = 'internal';
  #collector: ResponseCollector | undefined;
  #queued = true;
  #left = false;
  #rejected = false;
  #ended = false;

  constructor(
    context: GuardContext,
    series: ModelSeries,
    endpoint: EndpointName,
    requestType: RequestType,
    traceId: string | undefined,
  ) {
    this.#context = context;
    this.#series = series;
    this.#endpoint = endpoint;
    this.#requestType = requestType;
    this.#traceId = traceId;
    this.#startMs = context.clock.nowMs();
    const { model } = series;
    series.bind(context.families.started, { model, endpoint, request_type: requestType }).inc();
    series.inflight.inc();
    series.active.inc();
    series.queued.inc();
    if (context.version !== '1.0.2') this.#total('');
  }

  /** Starts the clock of TTFT: call it after the engine is chosen by model, before it is called. */
  collect(inputTokens?: number): ResponseCollector {
    const { workers, clock, version, families, chunkGaps } = this.#context;
    const options: CollectorOptions = {
      series: this.#series,
      workers,
      clock,
      version,
      traceId: this.#traceId,
      chunkGaps,
      onFirstToken: () => this.#unqueue(),
      onDetokenized: (meanMs) => families.tokenizerLatency.with({ operation: 'detokenize' }).observe(meanMs),
    };
    this.#collector = new ResponseCollector(options, inputTokens);
    return this.#collector;
  }

  /** The answer has begun to stream: should it break off here, the request counts as cancelled. */
  streaming(): void {
    this.#errorType = 'cancelled';
  }

  succeed(): void {
    this.#errorType = this.#left ? 'cancelled' : '';
  }

  fail(errorType: ErrorType): void {
    this.#errorType = this.#left ? 'cancelled' : errorType;
  }

  /** Takes the outcome from what was thrown; an overload anywhere in its causes is a rejection too. */
  failWith(thrown: unknown): void {
    this.fail(errorTypeOf(thrown, this.#context.overloadStatus));
    if (isOverload(thrown)) this.reject();
  }

  /** Counts a rejection for want of resources, once. */
  reject(): void {
    if (this.#rejected) return;
    this.#rejected = true;
    const labels = { model: this.#series.model, endpoint: this.#endpoint };
    this.#series.bind(this.#context.families.rejections, labels).inc();
  }

  /** The client has left: cancelled, whatever comes after. */
  disconnected(): void {
    if (this.#left) return;
    this.#left = true;
    this.#errorType = 'cancelled';
    const { families } = this.#context;
    families.disconnected.with().inc();
    families.disconnects.with().inc();
    const labels = { model: this.#series.model, endpoint: this.#endpoint, request_type: this.#requestType };
    this.#series.bind(families.cancellations, labels).inc();
  }

  /** Ends the request and its collector; a second call does nothing. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#collector?.end();
    this.#unqueue();
    this.#series.active.dec();
    this.#series.inflight.dec();
    this.#total(this.#errorType).inc();
    const { clock, families } = this.#context;
    const seconds = (clock.nowMs() - this.#startMs) / 1000;
    if (this.#traceId === undefined) this.#series.duration.observe(seconds);
    else this.#series.duration.observeTraced(seconds, 1, this.#traceId, clock.wallMs() / 1000);
    if (this.#endpoint === 'embeddings' && this.#errorType === '')
      this.#series.bind(families.embeddingLatency, { model: this.#series.model }).observe(seconds);
  }

  #total(errorType: ErrorType | '') {
    const { families, version } = this.#context;
    const late = errorType === 'unavailable' || errorType === 'response_timeout';
    return this.#series.bind(families.requests, {
      model: this.#series.model,
      endpoint: this.#endpoint,
      request_type: this.#requestType,
      status: errorType === '' ? 'success' : 'error',
      error_type: late && version === '1.0.2' ? 'internal' : errorType,
    });
  }

  #unqueue(): void {
    if (!this.#queued) return;
    this.#queued = false;
    this.#series.queued.dec();
  }
}

function isOverload(thrown: unknown): boolean {
  for (let cause = thrown, depth = 0; cause instanceof Error && depth < 10; cause = cause.cause, depth++) {
    if ('code' in cause && cause.code === 'KV_OVERLOADED') return true;
  }
  return false;
}
