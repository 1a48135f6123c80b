import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { FRONTEND_STAGE, REQUEST_PLANE } from './names/frontend.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** Stages that a caller enters; `dispatch` comes with {@link StageMetrics.send}. */
export type Stage = 'preprocess' | 'route';
/** What the request is routed for; empty while that is not yet known (`preprocess`). */
export type Phase = '' | 'prefill' | 'decode' | 'aggregated';

/** A request inside one stage. */
export interface StageGuard {
  /** Leaves the stage; a second call does nothing. */
  end(): void;
}

/** Where requests are before their first token: `dynamo_frontend_stage_*` and `dynamo_request_plane_*`. */
export class StageMetrics {
  readonly #nowMs: () => number;
  readonly #requests: Family<'phase' | 'stage', Gauge>;
  readonly #durations: Family<'stage', Histogram>;
  readonly #roundtrip: Histogram;
  readonly #queue: Histogram;
  readonly #send: Histogram;
  readonly #inflight: Gauge;
  readonly #tokenize: Histogram;
  readonly #template: Histogram;
  readonly #detokenizeUs: Counter;
  readonly #detokenized: Counter;

  constructor(metrics: ProcessMetrics) {
    const { service, clock } = metrics;
    this.#nowMs = () => clock.nowMs();
    this.#requests = service.gauge(FRONTEND_STAGE.stageRequests);
    this.#durations = service.histogram(FRONTEND_STAGE.stageDurationSeconds);
    this.#tokenize = service.histogram(FRONTEND_STAGE.tokenizeSeconds).with();
    this.#template = service.histogram(FRONTEND_STAGE.templateSeconds).with();
    this.#detokenizeUs = service.counter(FRONTEND_STAGE.detokenizeTotalUs).with();
    this.#detokenized = service.counter(FRONTEND_STAGE.detokenizeTokenCount).with();
    this.#queue = service.histogram(REQUEST_PLANE.queueSeconds).with();
    this.#send = service.histogram(REQUEST_PLANE.sendSeconds).with();
    this.#roundtrip = service.histogram(REQUEST_PLANE.roundtripTtftSeconds).with();
    this.#inflight = service.gauge(REQUEST_PLANE.inflightRequests).with();
  }

  /** Enters a stage. */
  enter(stage: Stage, phase: Phase = ''): StageGuard {
    const requests = this.#requests.with({ stage, phase });
    const duration = this.#durations.with({ stage });
    const startMs = this.#nowMs();
    requests.inc();
    let inside = true;
    return {
      end: () => {
        if (!inside) return;
        inside = false;
        requests.dec();
        duration.observe((this.#nowMs() - startMs) / 1000);
      },
    };
  }

  /** A request goes out to a worker. `queuedMs`: from the handler's decision to the sending. */
  send(queuedMs: number, phase: Phase = 'aggregated'): DispatchGuard {
    this.#queue.observe(queuedMs / 1000);
    return new DispatchGuard({
      nowMs: this.#nowMs,
      inflight: this.#inflight,
      stage: this.#requests.with({ stage: 'dispatch', phase }),
      send: this.#send,
      roundtrips: [this.#roundtrip, this.#durations.with({ stage: 'transport_roundtrip' })],
    });
  }

  tokenized(durationMs: number): void {
    this.#tokenize.observe(durationMs / 1000);
  }

  templated(durationMs: number): void {
    this.#template.observe(durationMs / 1000);
  }

  /** At the end of a stream: all its detokenising. */
  detokenized(durationMs: number, tokens: number): void {
    this.#detokenizeUs.inc(durationMs * 1000);
    this.#detokenized.inc(tokens);
  }
}

interface DispatchInstruments {
  readonly nowMs: () => number;
  readonly inflight: Gauge;
  readonly stage: Gauge;
  readonly send: Histogram;
  readonly roundtrips: readonly Histogram[];
}

/** A request on its way to a worker and back; in the stage `dispatch` until the first item of its answer. */
export class DispatchGuard {
  readonly #instruments: DispatchInstruments;
  readonly #startMs: number;
  #sent = false;
  #answered = false;
  #ended = false;

  constructor(instruments: DispatchInstruments) {
    this.#instruments = instruments;
    this.#startMs = instruments.nowMs();
    instruments.inflight.inc();
    instruments.stage.inc();
  }

  /** The worker has accepted the request. */
  sent(): void {
    if (this.#sent) return;
    this.#sent = true;
    this.#instruments.send.observe(this.#elapsedS());
  }

  /** The first item of the answer has arrived. */
  firstItem(): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#instruments.stage.dec();
    for (const roundtrip of this.#instruments.roundtrips) roundtrip.observe(this.#elapsedS());
  }

  /** The answer is over, or never came. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#answered) this.#instruments.stage.dec();
    this.#instruments.inflight.dec();
  }

  #elapsedS(): number {
    return (this.#instruments.nowMs() - this.#startMs) / 1000;
  }
}
