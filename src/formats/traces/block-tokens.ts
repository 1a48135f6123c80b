import { hash32, mix32 } from '../../base/random.ts';

// Weyl step of the golden ratio: neighbouring counters land far apart before they are mixed.
const STEP = 0x9e3779b9;

/**
 * Kvasir's live rule: token j of block h is a counter-based hash of (seed, h, j) into a vocabulary of `size` words,
 * so that any process makes any block again without memory, and prompts share exactly what their ids share.
 */
export class BlockTokens {
  readonly #seed: number;
  readonly #scale: number;

  /** `size`: number of words to draw from, special ones not among them; a draw is an index into them. */
  constructor(options: { readonly seed: number; readonly size: number }) {
    this.#seed = options.seed;
    this.#scale = options.size / 2 ** 32;
  }

  /** Word index of token `j` of block `id`. */
  at(id: number, j: number): number {
    return Math.floor(mix32(this.#blockSeed(id) + Math.imul(j, STEP)) * this.#scale);
  }

  /** Writes the word indices of a prompt; missing ids leave the rest of `into` untouched. O(tokens). */
  fill(ids: ArrayLike<number>, inputLength: number, blockSize: number, into: Uint32Array): number {
    const length = Math.min(inputLength, ids.length * blockSize, into.length);
    const scale = this.#scale;
    for (let start = 0, block = 0; start < length; start += blockSize, block++) {
      const seed = this.#blockSeed(ids[block]!);
      const end = Math.min(start + blockSize, length);
      for (let at = start, counter = 0; at < end; at++, counter = (counter + STEP) | 0) {
        into[at] = mix32(seed + counter) * scale;
      }
    }
    return length;
  }

  // Ids reach 2^53: both halves count.
  #blockSeed(id: number): number {
    return hash32(this.#seed, id % 2 ** 32, Math.floor(id / 2 ** 32));
  }
}
