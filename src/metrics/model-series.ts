import type { Counter } from './counter.ts';
import type { FrontendFamilies } from './frontend-families.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';

/** The series of one model, each bound once: at the first use, or all histograms at once by {@link create}. */
export class ModelSeries {
  /** Value of the label `model`. */
  readonly model: string;
  readonly #families: FrontendFamilies;
  readonly #labels: { readonly model: string };
  #inflight: Gauge | undefined;
  #active: Gauge | undefined;
  #queued: Gauge | undefined;
  #duration: Histogram | undefined;
  #ttft: Histogram | undefined;
  #itl: Histogram | undefined;
  #inputTokens: Histogram | undefined;
  #outputSequence: Histogram | undefined;
  #cachedTokens: Histogram | undefined;
  #outputTokens: Counter | undefined;
  #chunkGap: Histogram | undefined;

  constructor(families: FrontendFamilies, model: string) {
    this.#families = families;
    this.model = model;
    this.#labels = { model };
  }

  /** Shows the histograms and the token counter at zero, so that `increase()` sees the first request. */
  create(): void {
    void [this.duration, this.ttft, this.itl, this.inputTokens, this.outputSequence];
    void [this.cachedTokens, this.outputTokens];
  }

  get inflight(): Gauge {
    this.#inflight ??= this.#families.inflight.with(this.#labels);
    return this.#inflight;
  }

  get active(): Gauge {
    this.#active ??= this.#families.active.with(this.#labels);
    return this.#active;
  }

  get queued(): Gauge {
    this.#queued ??= this.#families.queued.with(this.#labels);
    return this.#queued;
  }

  get duration(): Histogram {
    this.#duration ??= this.#families.duration.with(this.#labels);
    return this.#duration;
  }

  get ttft(): Histogram {
    this.#ttft ??= this.#families.ttft.with(this.#labels);
    return this.#ttft;
  }

  get itl(): Histogram {
    this.#itl ??= this.#families.itl.with(this.#labels);
    return this.#itl;
  }

  get inputTokens(): Histogram {
    this.#inputTokens ??= this.#families.inputTokens.with(this.#labels);
    return this.#inputTokens;
  }

  get outputSequence(): Histogram {
    this.#outputSequence ??= this.#families.outputSequence.with(this.#labels);
    return this.#outputSequence;
  }

  get cachedTokens(): Histogram {
    this.#cachedTokens ??= this.#families.cachedTokens.with(this.#labels);
    return this.#cachedTokens;
  }

  get outputTokens(): Counter {
    this.#outputTokens ??= this.#families.outputTokens.with(this.#labels);
    return this.#outputTokens;
  }

  get chunkGap(): Histogram {
    this.#chunkGap ??= this.#families.chunkGap.with(this.#labels);
    return this.#chunkGap;
  }
}
