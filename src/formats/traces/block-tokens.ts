import { hash32 } from '../../base/random.ts';

/**
 * Kvasir's live rule: token j of block h is a counter-based hash of (seed, h, j) into a vocabulary of `size` words,
 * so that any process makes any block again without memory, and prompts share exactly what their ids share.
 */
export class BlockTokens {
  readonly #seed: number;
  readonly #size: number;

  /** `size`: number of words to draw from, special ones not among them; a draw is an index into them. */
  constructor(options: { readonly seed: number; readonly size: number }) {
    this.#seed = options.seed;
    this.#size = options.size;
  }

  /** Word index of token `j` of block `id`. */
  at(id: number, j: number): number {
    return hash32(this.#blockSeed(id), j, 0) % this.#size;
  }

  /** Writes the word indices of a prompt; missing ids leave the rest of `into` untouched. O(tokens). */
  fill(ids: ArrayLike<number>, inputLength: number, blockSize: number, into: Uint32Array): number {
    const length = Math.min(inputLength, ids.length * blockSize, into.length);
    for (let start = 0, block = 0; start < length; start += blockSize, block++) {
      const seed = this.#blockSeed(ids[block]!);
      const end = Math.min(start + blockSize, length);
      for (let at = start; at < end; at++) into[at] = hash32(seed, at - start, 0) % this.#size;
    }
    return length;
  }

  // Ids reach 2^53: both halves count.
  #blockSeed(id: number): number {
    return hash32(this.#seed, id % 2 ** 32, Math.floor(id / 2 ** 32));
  }
}
