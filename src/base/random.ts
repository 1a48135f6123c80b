/** A seeded stream of randomness; every component that draws owns one, so that runs repeat exactly. */
export interface Random {
  /** Uniform in [0, 1) with 53 bits. */
  next(): number;
  /** Uniform u32. */
  nextU32(): number;
  /** Uniform integer in [0, below); unbiased. */
  nextInt(below: number): number;
}

/** xoshiro128** 1.1 (Blackman and Vigna), its state filled by {@link mix32}. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** `stream` makes independent generators of one seed (a worker's number, a dimension of a sampler). */
  constructor(seed: number, stream = 0) {
    this.#a = hash32(seed, stream, 1);
    this.#b = hash32(seed, stream, 2);
    this.#c = hash32(seed, stream, 3);
    this.#d = hash32(seed, stream, 4) | 1;
  }

  nextU32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  next(): number {
    const high = this.nextU32() >>> 5;
    const low = this.nextU32() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  nextInt(below: number): number {
    if (below > 2 ** 32) return Math.floor(this.next() * below);
    const unbiased = 2 ** 32 - (2 ** 32 % below);
    for (;;) {
      const draw = this.nextU32();
      if (draw < unbiased) return draw % below;
    }
  }
}

/** A counter-based u32: the same three inputs give the same output, in any order, with no state kept. */
export function hash32(seed: number, a: number, b: number): number {
  return mix32(mix32(mix32(seed + 0x9e3779b9) + a) + b);
}

/** Finaliser of murmur3 (Appleby): a bijection on u32 in which every input bit moves every output bit. */
export function mix32(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Draws from the exponential distribution of the given mean. */
export function exponential(random: Random, mean: number): number {
  return -Math.log1p(-random.next()) * mean;
}
