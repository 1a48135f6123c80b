import type { PrometheusApi } from '../transport/prometheus-api.ts';
import { type RawSeries, rawSeries, type Window } from './raw-series.ts';

export interface ReaderOptions {
  readonly api: PrometheusApi;
  readonly window: Window;
  readonly nowS: number;
  readonly signal: AbortSignal;
  /** Keep only series of this model, and those that name none. */
  readonly model?: string | undefined;
  readonly parallel: number;
}

/** Reads families of one window, each once however many fields ask for it, a few at a time. */
export class FamilyReader {
  readonly #options: ReaderOptions;
  readonly #families = new Map<string, Promise<readonly RawSeries[]>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  read(family: string): Promise<readonly RawSeries[]> {
    let reading = this.#families.get(family);
    if (reading === undefined) {
      reading = this.inTurn(() => this.#fetch(family));
      this.#families.set(family, reading);
    }
    return reading;
  }

  /** When each target was scraped; nothing where that cannot be read. */
  scrapes(): Promise<readonly RawSeries[]> {
    return this.read('up').catch(() => []);
  }

  /** Runs an exchange with the server when fewer than the allowed number are under way. */
  async inTurn<T>(exchange: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.parallel)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await exchange();
    } finally {
      const next = this.#waiting.shift();
      // The place passes to the next in line without becoming free in between.
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #fetch(family: string): Promise<readonly RawSeries[]> {
    const { api, window, nowS, signal, model } = this.#options;
    signal.throwIfAborted();
    const series = await rawSeries(api, family, window, nowS, signal);
    if (model === undefined) return series;
    const wanted = model.toLowerCase();
    return series.filter(
      ({ labels }) => (labels.model ?? labels.model_name ?? model).toLowerCase() === wanted,
    );
  }
}
