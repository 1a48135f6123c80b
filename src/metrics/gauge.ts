import type { ValueLedger } from './family.ts';

// 2^63 - 1, the most that an integer gauge of the reference holds, as the double it is sent as.
const MAX_INTEGER = 2n ** 63n - 1n;

/** A bound series that holds the last value. Values that are not finite are dropped and counted. */
export class Gauge {
  #value = 0;
  readonly #ledger: ValueLedger;

  constructor(ledger: ValueLedger) {
    this.#ledger = ledger;
  }

  get value(): number {
    return this.#value;
  }

  set(value: number): void {
    if (value - value === 0) this.#value = value;
    else this.#ledger.dropped++;
  }

  /** Sets from a u64, clamped at 2^63 - 1. */
  setU64(value: bigint): void {
    this.#value = Number(value > MAX_INTEGER ? MAX_INTEGER : value);
  }

  add(amount: number): void {
    this.set(this.#value + amount);
  }

  inc(): void {
    this.#value++;
  }

  dec(): void {
    this.#value--;
  }
}
