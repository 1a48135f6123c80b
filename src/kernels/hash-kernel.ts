import { HASH_KERNEL } from './hash-kernel.generated.ts';
import { instantiateKernel, KernelMemory } from './kernel-memory.ts';

/** What `assembly/hash-module.ts` exports; addresses are byte offsets, seeds and hashes u64 modulo 2^64. */
interface HashExports {
  readonly freeFrom: WebAssembly.Global;
  hashBytes(at: number, length: number, seed: bigint): bigint;
  hashWindows(
    at: number,
    strideBytes: number,
    windowBytes: number,
    count: number,
    seed: bigint,
    locals: number,
  ): void;
  chainFromRoot(locals: number, count: number, sequence: number): void;
  chainFrom(parent: bigint, locals: number, count: number, sequence: number): void;
}

/** Windows of tokens to hash: `count` of `size` tokens, each `stride` tokens after the one before. */
export interface Windows {
  readonly size: number;
  readonly stride: number;
  readonly count: number;
}

export interface BlockHashes {
  /** Content hash of each block, position-free. */
  readonly local: BigUint64Array;
  /** Chained hash up to and with each block, which names the whole prefix. */
  readonly sequence: BigUint64Array;
}

/** XXH3-64 in WebAssembly: whole prompts cross into it in one call. Returned arrays are the caller's own. */
export class HashKernel {
  readonly #memory = new KernelMemory();
  readonly #exports = instantiateKernel<HashExports>(HASH_KERNEL, this.#memory);
  readonly #base = alignUp(this.#exports.freeFrom.value);

  hashBytes(bytes: Uint8Array, seed: bigint): bigint {
    this.#memory.ensure(this.#base + bytes.length);
    this.#memory.u8.set(bytes, this.#base);
    return BigInt.asUintN(64, this.#exports.hashBytes(this.#base, bytes.length, seed));
  }

  /** Local and chained hashes of windows over the tokens. */
  hashWindows(tokens: Uint32Array, windows: Windows, seed: bigint): BlockHashes {
    const { count } = windows;
    const locals = this.#loadTokens(tokens, count);
    const sequence = locals + 8 * count;
    this.#exports.hashWindows(this.#base, 4 * windows.stride, 4 * windows.size, count, seed, locals);
    this.#exports.chainFromRoot(locals, count, sequence);
    return { local: this.#copyOut(locals, count), sequence: this.#copyOut(sequence, count) };
  }

  /** Sequence hashes of blocks that follow `parent`, or start at the root. */
  chain(local: BigUint64Array, parent: bigint | undefined): BigUint64Array {
    this.#memory.ensure(this.#base + 8 * local.length);
    this.#memory.u64.set(local, this.#base / 8);
    if (parent === undefined) this.#exports.chainFromRoot(this.#base, local.length, this.#base);
    else this.#exports.chainFrom(parent, this.#base, local.length, this.#base);
    return this.#copyOut(this.#base, local.length);
  }

  /** Copies the tokens in and returns the address of the room for two arrays of `count` hashes after them. */
  #loadTokens(tokens: Uint32Array, count: number): number {
    const after = alignUp(this.#base + 4 * tokens.length);
    this.#memory.ensure(after + 16 * count);
    this.#memory.u32.set(tokens, this.#base / 4);
    return after;
  }

  #copyOut(at: number, count: number): BigUint64Array {
    const hashes = new BigUint64Array(count);
    hashes.set(this.#memory.u64.subarray(at / 8, at / 8 + count));
    return hashes;
  }
}

function alignUp(address: number): number {
  return Math.ceil(address / 16) * 16;
}
