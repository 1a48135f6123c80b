import type { Counter } from './counter.ts';
import type { Child, Family, LabelValues } from './family.ts';
import type { FrontendFamilies } from './frontend-families.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';

/** The series of one model, each bound once: at the first use, or all histograms at once by {@link create}. */
export class ModelSeries {
  /** Value of the label `model`. */
  readonly model: string;
  readonly #families: FrontendFamilies;
  readonly #labels: { readonly model: string };
  #retired = false;
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

  /** The model has gone: what is bound from now on shows nowhere. */
  retire(): void {
    this.#retired = true;
  }

  /** A further child with this model's label; what outlives the model does not bring its series back. */
  bind<L extends string, C extends Child>(family: Family<L, C>, labels: LabelValues<L>): C {
    return this.#retired ? family.detached() : (family as Family<string, C>).with(labels);
  }

  get inflight(): Gauge {
    this.#inflight ??= this.bind(this.#families.inflight, this.#labels);
    return this.#inflight;
  }

  get active(): Gauge {
    this.#active ??= this.bind(this.#families.active, this.#labels);
    return this.#active;
  }

  get queued(): Gauge {
    this.#queued ??= this.bind(this.#families.queued, this.#labels);
    return this.#queued;
  }

  get duration(): Histogram {
    this.#duration ??= this.bind(this.#families.duration, this.#labels);
    return this.#duration;
  }

  get ttft(): Histogram {
    this.#ttft ??= this.bind(this.#families.ttft, this.#labels);
    return this.#ttft;
  }

  get itl(): Histogram {
    this.#itl ??= this.bind(this.#families.itl, this.#labels);
    return this.#itl;
  }

  get inputTokens(): Histogram {
    this.#inputTokens ??= this.bind(this.#families.inputTokens, this.#labels);
    return this.#inputTokens;
  }

  get outputSequence(): Histogram {
    this.#outputSequence ??= this.bind(this.#families.outputSequence, this.#labels);
    return this.#outputSequence;
  }

  get cachedTokens(): Histogram {
    this.#cachedTokens ??= this.bind(this.#families.cachedTokens, this.#labels);
    return this.#cachedTokens;
  }

  get outputTokens(): Counter {
    this.#outputTokens ??= this.bind(this.#families.outputTokens, this.#labels);
    return this.#outputTokens;
  }

  get chunkGap(): Histogram {
    this.#chunkGap ??= this.bind(this.#families.chunkGap, this.#labels);
    return this.#chunkGap;
  }
}
