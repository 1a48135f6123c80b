import type { ValueLedger } from './family.ts';

/** A bound series that only goes up. Amounts that are not finite or are negative are dropped and counted. */
export class Counter {
  #value = 0;
  readonly #ledger: ValueLedger;

  constructor(ledger: ValueLedger) {
    this.#ledger = ledger;
  }

  get value(): number {
    return this.#value;
  }

  inc(amount = 1): void {
    if (amount >= 0 && amount < Number.POSITIVE_INFINITY) this.#value += amount;
    else this.#ledger.dropped++;
  }
}
