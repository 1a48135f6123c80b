import type { BucketIndex } from './bucket-index.ts';
import type { ValueLedger } from './family.ts';

/** Ties one observation to a trace; exposed in OpenMetrics only. */
export interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  /** Seconds since the Unix epoch, for the reader of the trace. */
  readonly timestampS: number;
}

/** A bound distribution. Values that are not finite are dropped and counted. */
export class Histogram {
  readonly #index: BucketIndex;
  /** Observations per bucket, not cumulative; then those above the last bound; then the sum of values. */
  readonly #cells: Float64Array;
  readonly #ledger: ValueLedger;
  #exemplars: (Exemplar | undefined)[] | undefined;

  constructor(index: BucketIndex, ledger: ValueLedger) {
    this.#index = index;
    this.#cells = new Float64Array(index.bounds.length + 2);
    this.#ledger = ledger;
  }

  /** Records `times` equal observations: one search and one increment, however many they are. */
  observe(value: number, times = 1): void {
    if (value - value !== 0) {
      this.#ledger.dropped++;
      return;
    }
    const cells = this.#cells;
    cells[this.#index.find(value)]! += times;
    cells[cells.length - 1]! += value * times;
  }

  /** The same, keeping the trace as the latest exemplar of the bucket it falls into. */
  observeTraced(value: number, times: number, traceId: string, timestampS: number): void {
    this.observe(value, times);
    if (!Number.isFinite(value)) return;
    this.#exemplars ??= [];
    this.#exemplars[this.#index.find(value)] = { traceId, value, timestampS };
  }

  get count(): number {
    const { length } = this.#cells;
    let count = 0;
    for (let i = 0; i < length - 1; i++) count += this.#cells[i]!;
    return count;
  }

  get sum(): number {
    return this.#cells[this.#cells.length - 1]!;
  }

  /** Live cells: one count per bucket, not cumulative, then the count above the last bound, then the sum. */
  get cells(): Readonly<Float64Array> {
    return this.#cells;
  }

  /** Latest exemplar per bucket, if any was kept. */
  get exemplars(): readonly (Exemplar | undefined)[] | undefined {
    return this.#exemplars;
  }
}
