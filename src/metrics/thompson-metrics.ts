import type { Clock } from '../base/clock.ts';
import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { THOMPSON } from './names/thompson.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** What the last usage record of a stream says. */
export interface ThompsonUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly deviceBlocks?: number;
  readonly hostBlocks?: number;
  readonly diskBlocks?: number;
}

/** A request inside the processor. */
export interface ThompsonRequest {
  /** The engine is called now: latency counts from here. */
  sent(): void;
  /** The answer came to its end; what the engine told of its cache counts for the KV efficiency. */
  succeeded(tokensIn: number, tokensOut: number, usage: ThompsonUsage | undefined): void;
  /** The request is over, in whatever way; a second call does nothing. */
  end(): void;
}

/** `dynamo_component_thompson_*`: the Thompson-sampling processor, without hierarchy labels. */
export class ThompsonMetrics {
  readonly #clock: Clock;
  readonly #requests: Counter;
  readonly #latency: Histogram;
  readonly #tokensIn: Counter;
  readonly #tokensOut: Counter;
  readonly #decisions: Family<'worker_id', Counter>;
  readonly #routerErrors: Counter;
  readonly #engineErrors: Counter;
  readonly #active: Gauge;
  readonly #prompt: Counter;
  readonly #cached: Counter;
  readonly #blocks: Readonly<Record<'device' | 'host' | 'disk', Counter>>;

  constructor({ service, clock }: ProcessMetrics) {
    this.#clock = clock;
    this.#requests = service.counter(THOMPSON.requestsTotal).with();
    this.#latency = service.histogram(THOMPSON.requestLatencySeconds).with();
    this.#tokensIn = service.counter(THOMPSON.tokensInTotal).with();
    this.#tokensOut = service.counter(THOMPSON.tokensOutTotal).with();
    this.#decisions = service.counter(THOMPSON.routingDecisionsTotal);
    this.#routerErrors = service.counter(THOMPSON.routerErrorsTotal).with();
    this.#engineErrors = service.counter(THOMPSON.engineErrorsTotal).with();
    this.#active = service.gauge(THOMPSON.activeRequests).with();
    this.#prompt = service.counter(THOMPSON.kvePromptTokensTotal).with();
    this.#cached = service.counter(THOMPSON.kveCachedTokensTotal).with();
    this.#blocks = {
      device: service.counter(THOMPSON.kveDeviceBlocksTotal).with(),
      host: service.counter(THOMPSON.kveHostBlocksTotal).with(),
      disk: service.counter(THOMPSON.kveDiskBlocksTotal).with(),
    };
  }

  /** A request enters. */
  begin(): ThompsonRequest {
    let startMs = this.#clock.nowMs();
    this.#requests.inc();
    this.#active.inc();
    let ended = false;
    return {
      sent: () => {
        startMs = this.#clock.nowMs();
      },
      succeeded: (tokensIn, tokensOut, usage) => {
        this.#tokensIn.inc(tokensIn);
        this.#tokensOut.inc(tokensOut);
        this.#latency.observe((this.#clock.nowMs() - startMs) / 1000);
        if (usage !== undefined) this.#used(usage);
      },
      end: () => {
        if (!ended) this.#active.dec();
        ended = true;
      },
    };
  }

  /** The router has answered with a worker. */
  decided(workerId: string): void {
    this.#decisions.with({ worker_id: workerId }).inc();
  }

  /** The router could not pick a worker. */
  routerFailed(): void {
    this.#routerErrors.inc();
  }

  /** The engine failed while it streamed. */
  engineFailed(): void {
    this.#engineErrors.inc();
  }

  #used({ promptTokens, cachedTokens, deviceBlocks, hostBlocks, diskBlocks }: ThompsonUsage): void {
    if (promptTokens > 0) {
      this.#prompt.inc(promptTokens);
      this.#cached.inc(cachedTokens);
    }
    this.#blocks.device.inc(deviceBlocks ?? 0);
    this.#blocks.host.inc(hostBlocks ?? 0);
    this.#blocks.disk.inc(diskBlocks ?? 0);
  }
}
