/** A class as the scheduler sees it: what its head costs; undefined when it has none that could go now. */
export type HeadCost = (classIndex: number) => number | undefined;

/**
 * Deficit round robin between classes: over time each dispatches tokens in proportion to its quantum, whatever
 * the size of its requests. Classes without a dispatchable head neither gain nor lose.
 */
export class DeficitRoundRobin {
  readonly #quanta: readonly number[];
  readonly #deficits: number[];
  #cursor = 0;
  /** The class that dispatched last and has deficit left. */
  #carried: number | undefined;

  constructor(quanta: readonly number[]) {
    this.#quanta = quanta;
    this.#deficits = quanta.map(() => 0);
  }

  /** Tokens that each class may still dispatch without waiting for its turn. */
  get deficits(): readonly number[] {
    return this.#deficits;
  }

  /** The class to dispatch from; undefined when no head can go. Call {@link paid} once it has gone. */
  next(headCost: HeadCost): number | undefined {
    const carried = this.#carried;
    if (carried !== undefined && this.#affords(carried, headCost)) return carried;
    const ring = this.#ring();
    for (const index of ring) {
      if (headCost(index) === undefined) continue;
      if (this.#affords(index, headCost)) return index;
      this.#deficits[index]! += this.#quanta[index]!;
      if (this.#affords(index, headCost)) return index;
    }
    // Nobody affords its head after a full turn: give all at once the turns until the first does.
    const heads = ring.filter((index) => headCost(index) !== undefined);
    if (heads.length === 0) return undefined;
    const turns = Math.min(
      ...heads.map((index) => Math.ceil((headCost(index)! - this.#deficits[index]!) / this.#quanta[index]!)),
    );
    for (const index of heads) this.#deficits[index]! += turns * this.#quanta[index]!;
    return heads.find((index) => this.#affords(index, headCost));
  }

  /** Charges a class for what it dispatched. */
  paid(index: number, cost: number, isEmptyNow: boolean): void {
    this.#cursor = (index + 1) % this.#quanta.length;
    this.#deficits[index] = isEmptyNow ? 0 : this.#deficits[index]! - cost;
    this.#carried = this.#deficits[index]! > 0 ? index : undefined;
  }

  /** A class that emptied without dispatching starts anew. */
  emptied(index: number): void {
    this.#deficits[index] = 0;
    if (this.#carried === index) this.#carried = undefined;
  }

  #affords(index: number, headCost: HeadCost): boolean {
    const cost = headCost(index);
    return cost !== undefined && cost <= this.#deficits[index]!;
  }

  #ring(): number[] {
    return this.#quanta.map((_, i) => (this.#cursor + i) % this.#quanta.length);
  }
}
