import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { MetricsNode } from './hierarchy.ts';
import type { Histogram } from './histogram.ts';
import { WORK_HANDLER } from './names/worker.ts';
import type { ProcessMetrics } from './process-metrics.ts';

type WorkErrorType =
  | 'deserialization'
  | 'invalid_message'
  | 'response_stream'
  | 'generate'
  | 'serialization'
  | 'publish_response'
  | 'publish_final';

/** A request inside a served endpoint. */
export interface HandledRequest {
  /** Before each frame is sent, the final marker included. */
  sending(bytes: number): void;
  failed(errorType: WorkErrorType): void;
  /** The caller stopped, killed or lost the stream; counts once. */
  cancelled(): void;
  /** The response stream is over, on every way out; a second call does nothing. */
  end(): void;
}

/** `dynamo_component_requests_total` and its kin, of one served endpoint; all but the errors start at zero. */
export class WorkHandlerMetrics {
  readonly #nowMs: () => number;
  readonly #requests: Counter;
  readonly #duration: Histogram;
  readonly #inflight: Gauge;
  readonly #requestBytes: Counter;
  readonly #responseBytes: Counter;
  readonly #cancellations: Counter;
  readonly #errors: Family<'error_type', Counter>;

  constructor(metrics: ProcessMetrics, { registry }: MetricsNode) {
    this.#nowMs = () => metrics.clock.nowMs();
    this.#requests = registry.counter(WORK_HANDLER.requestsTotal).with();
    this.#duration = registry.histogram(WORK_HANDLER.requestDurationSeconds).with();
    this.#inflight = registry.gauge(WORK_HANDLER.inflightRequests).with();
    this.#requestBytes = registry.counter(WORK_HANDLER.requestBytesTotal).with();
    this.#responseBytes = registry.counter(WORK_HANDLER.responseBytesTotal).with();
    this.#cancellations = registry.counter(WORK_HANDLER.cancellationTotal).with();
    this.#errors = registry.counter(WORK_HANDLER.errorsTotal);
  }

  /** A payload has arrived and is not yet decoded. */
  arrived(payloadBytes: number): HandledRequest {
    const startMs = this.#nowMs();
    this.#requests.inc();
    this.#inflight.inc();
    this.#requestBytes.inc(payloadBytes);
    let cancelled = false;
    let ended = false;
    return {
      sending: (bytes) => this.#responseBytes.inc(bytes),
      failed: (errorType) => this.#errors.with({ error_type: errorType }).inc(),
      cancelled: () => {
        if (!cancelled) this.#cancellations.inc();
        cancelled = true;
      },
      end: () => {
        if (ended) return;
        ended = true;
        this.#inflight.dec();
        this.#duration.observe((this.#nowMs() - startMs) / 1000);
      },
    };
  }
}
