import { fail } from '../base/errors.ts';
import type { SpeculativeSettings } from './engine-settings.ts';

const ROUNDS = 12;
const U64 = 64;
const U64_RANGE = 2 ** 64;
const LCG_FACTOR = 6364136223846793005n;
const LCG_STEP = 11634580027462260723n;

/** Draws how many tokens a speculative pass yields: 1 + drafts accepted in order until the first reject. */
export class BurstSampler {
  readonly #thresholds: readonly (bigint | undefined)[];
  readonly #random: ChaCha12;

  /** `stream` parts the ranks of a fleet that share one seed: worker_id * dp_size + dp_rank. */
  constructor(settings: SpeculativeSettings, stream: number) {
    // A rate of 1 draws nothing.
    this.#thresholds = settings.acceptRates.map((rate) =>
      rate === 1 ? undefined : BigInt(Math.floor(rate * U64_RANGE)),
    );
    this.#random = new ChaCha12(BigInt.asUintN(U64, BigInt(settings.seed) + BigInt(stream)));
  }

  next(): number {
    let tokens = 1;
    for (const threshold of this.#thresholds) {
      if (threshold !== undefined && this.#random.nextU64() >= threshold) break;
      tokens++;
    }
    return tokens;
  }
}

/** ChaCha with 12 rounds, zero nonce, counter from 0; its key is expanded from a u64 by a PCG. */
export class ChaCha12 {
  readonly #key = new Uint32Array(8);
  readonly #block = new Uint32Array(16);
  #counter = 0;
  #used = 16;

  constructor(seed: bigint) {
    let state = seed;
    for (let i = 0; i < this.#key.length; i++) {
      state = BigInt.asUintN(U64, state * LCG_FACTOR + LCG_STEP);
      const mixed = Number(BigInt.asUintN(32, ((state >> 18n) ^ state) >> 27n));
      const turn = Number(state >> 59n);
      this.#key[i] = (mixed >>> turn) | (mixed << ((32 - turn) % 32));
    }
  }

  nextU64(): bigint {
    const low = this.#nextWord();
    return (BigInt(this.#nextWord()) << 32n) | BigInt(low);
  }

  #nextWord(): number {
    if (this.#used === this.#block.length) this.#refill();
    return this.#block[this.#used++]!;
  }

  #refill(): void {
    if (this.#counter === Number.MAX_SAFE_INTEGER)
      throw fail('KV_INTERNAL', { reason: 'a random stream was exhausted' });
    const start = Uint32Array.of(
      ...[0x61707865, 0x3320646e, 0x79622d32, 0x6b206574],
      ...this.#key,
      ...[this.#counter >>> 0, Math.floor(this.#counter / 2 ** 32), 0, 0],
    );
    this.#counter++;
    const x = this.#block;
    x.set(start);
    for (let round = 0; round < ROUNDS; round += 2) {
      for (let i = 0; i < 4; i++) quarterRound(x, i, 4 + i, 8 + i, 12 + i);
      for (let i = 0; i < 4; i++)
        quarterRound(x, i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
    }
    for (let i = 0; i < x.length; i++) x[i] = x[i]! + start[i]!;
    this.#used = 0;
  }
}

function quarterRound(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  addXorRotate(x, a, b, d, 16);
  addXorRotate(x, c, d, b, 12);
  addXorRotate(x, a, b, d, 8);
  addXorRotate(x, c, d, b, 7);
}

/** to += by; then turned = (turned ^ to) rotated left. */
function addXorRotate(x: Uint32Array, to: number, by: number, turned: number, bits: number): void {
  x[to] = x[to]! + x[by]!;
  const mixed = x[turned]! ^ x[to]!;
  x[turned] = (mixed << bits) | (mixed >>> (32 - bits));
}
