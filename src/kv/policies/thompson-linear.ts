import type { Draws } from './thompson-draws.ts';

/**
 * A Bayesian linear model of rewards that forgets: A = lambda I + sum phi^k x x', b = sum phi^k r x (LinTS, Agrawal and
 * Goyal, with a discount). Factored when it learned something, not when it is asked: an answer costs O(n^2).
 */
export class LinearModel {
  readonly size: number;
  readonly #a: Float64Array;
  readonly #b: Float64Array;
  readonly #lambda: number;
  readonly #phi: number;
  readonly #lower: Float64Array;
  readonly #mean: Float64Array;
  readonly #scratch: Float64Array;
  #stale = true;

  constructor(size: number, lambda: number, phi: number) {
    this.size = size;
    this.#lambda = lambda;
    this.#phi = Math.min(Math.max(phi, 1e-6), 0.999999);
    this.#a = new Float64Array(size * size);
    for (let i = 0; i < size; i++) this.#a[i * size + i] = lambda;
    this.#b = new Float64Array(size);
    this.#lower = new Float64Array(size * size);
    this.#mean = new Float64Array(size);
    this.#scratch = new Float64Array(size);
  }

  get a(): readonly number[] {
    return [...this.#a];
  }

  get b(): readonly number[] {
    return [...this.#b];
  }

  /** The coefficients believed in most. */
  get mean(): readonly number[] {
    this.#factor();
    return [...this.#mean];
  }

  /** Takes in a reward, cut to 0..1. */
  reward(x: ArrayLike<number>, reward: number): void {
    this.learn(x, Math.min(1, Math.max(0, reward)));
  }

  /** Takes in what came of features x. */
  learn(x: ArrayLike<number>, value: number): void {
    const { size } = this;
    const phi = this.#phi;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) {
        const refill = i === j ? (1 - phi) * this.#lambda : 0;
        const value = phi * this.#a[i * size + j]! + x[i]! * x[j]! + refill;
        this.#a[i * size + j] = value;
        this.#a[j * size + i] = value;
      }
      this.#b[i] = phi * this.#b[i]! + value * x[i]!;
    }
    this.#stale = true;
  }

  /** Keeps a share of what was learned, 0..1, as if so much had been forgotten since. */
  age(share: number): void {
    const { size } = this;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) this.#a[i * size + j]! *= share;
      this.#a[i * size + i]! += (1 - share) * this.#lambda;
      this.#b[i]! *= share;
    }
    this.#stale = true;
  }

  restore(a: ArrayLike<number>, b: ArrayLike<number>): void {
    this.#a.set(a);
    this.#b.set(b);
    this.#stale = true;
  }

  /** Expected reward, and the standard deviation of that belief times nothing: `sqrt(x' A^-1 x)`. */
  predict(x: ArrayLike<number>): { readonly mean: number; readonly deviation: number } {
    this.#factor();
    const y = this.#forward(x);
    let square = 0;
    for (const each of y) square += each * each;
    return { mean: dot(this.#mean, x), deviation: Math.sqrt(square) };
  }

  /** theta.x for coefficients theta drawn around the mean: mu + v L^-T z with a whole vector z, as the reference draws. */
  sampleByCoefficients(x: ArrayLike<number>, v: number, draws: Draws): number {
    this.#factor();
    const { size } = this;
    const theta = draws.normals(size);
    const lower = this.#lower;
    for (let i = size - 1; i >= 0; i--) {
      let sum = theta[i]!;
      for (let k = i + 1; k < size; k++) sum -= lower[k * size + i]! * theta[k]!;
      theta[i] = sum / lower[i * size + i]!;
    }
    let value = 0;
    for (let i = 0; i < size; i++) value += (this.#mean[i]! + v * theta[i]!) * x[i]!;
    return value;
  }

  /** The same law from one draw: N(mu.x, v^2 x' A^-1 x). */
  sample(x: ArrayLike<number>, v: number, draws: Draws): number {
    const { mean, deviation } = this.predict(x);
    return mean + v * deviation * draws.normals(1)[0]!;
  }

  #factor(): void {
    if (!this.#stale) return;
    // A is lambda I plus squares, hence positive definite; the jitter only covers rounding.
    let jitter = 1e-9;
    while (!this.#cholesky(jitter) && jitter < 1) jitter *= 10;
    this.#solveMean();
    this.#stale = false;
  }

  #cholesky(jitter: number): boolean {
    const { size } = this;
    const lower = this.#lower;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = this.#a[i * size + j]! + (i === j ? jitter : 0);
        for (let k = 0; k < j; k++) sum -= lower[i * size + k]! * lower[j * size + k]!;
        if (i !== j) lower[i * size + j] = sum / lower[j * size + j]!;
        else if (sum > 0) lower[i * size + i] = Math.sqrt(sum);
        else return false;
      }
    }
    return true;
  }

  /** mu = A^-1 b, refined twice, which takes out the jitter. */
  #solveMean(): void {
    const { size } = this;
    this.#mean.fill(0);
    for (let round = 0; round < 3; round++) {
      const rest = this.#b.map(
        (value, i) => value - dot(this.#a.subarray(i * size, (i + 1) * size), this.#mean),
      );
      const step = this.#forward(rest).slice();
      for (let i = size - 1; i >= 0; i--) {
        let sum = step[i]!;
        for (let k = i + 1; k < size; k++) sum -= this.#lower[k * size + i]! * step[k]!;
        step[i] = sum / this.#lower[i * size + i]!;
        this.#mean[i]! += step[i]!;
      }
    }
  }

  /** L^-1 x, in room that the next call takes over. */
  #forward(x: ArrayLike<number>): Float64Array {
    const { size } = this;
    const y = this.#scratch;
    for (let i = 0; i < size; i++) {
      let sum = x[i]!;
      for (let k = 0; k < i; k++) sum -= this.#lower[i * size + k]! * y[k]!;
      y[i] = sum / this.#lower[i * size + i]!;
    }
    return y;
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
