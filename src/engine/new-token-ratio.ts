const INITIAL = 0.7;
const FLOOR_SHARE = 0.14;
const STEPS = 600;

/**
 * SGLang's guess of which share of the tokens that requests may still generate they really will: falls with every
 * pass that goes well, starts over when memory ran out.
 */
export class NewTokenRatio {
  readonly #initial: number;
  readonly #floor: number;
  readonly #step: number;
  value: number;

  constructor(conservativeness: number) {
    this.#initial = INITIAL * conservativeness;
    this.#floor = FLOOR_SHARE * this.#initial;
    this.#step = (this.#initial - this.#floor) / STEPS;
    this.value = this.#initial;
  }

  decay(): void {
    this.value = Math.max(this.#floor, this.value - this.#step);
  }

  reset(): void {
    this.value = this.#initial;
  }
}
