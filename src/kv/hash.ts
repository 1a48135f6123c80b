import { type BlockHashes, HashKernel } from '../kernels/hash-kernel.ts';

/** Hashes of the full blocks of one prompt; both arrays have one entry per block. */
export type PromptHashes = BlockHashes;

/** What keeps equal tokens apart: prompts of different adapters or tenants share no block. */
export interface PromptNamespace {
  readonly loraName?: string | undefined;
  readonly cacheSalt?: string | undefined;
}

/** Seed of local hashes outside any namespace, and of every step of the chain. */
export const HASH_SEED = 1337n;
const LORA_SEED = 0n;
const SALT_SEED = 1n;
const U64 = 64;

/**
 * XXH3-64 of blocks of tokens (each token a little-endian u32), local and chained. Only full blocks are hashed;
 * a block size of 0 has none. Owns one kernel instance: make one per part and keep it.
 */
export class BlockHasher {
  readonly #kernel = new HashKernel();
  readonly #utf8 = new TextEncoder();

  hashPrompt(tokens: Uint32Array, blockSize: number, namespace?: PromptNamespace): PromptHashes {
    const count = blockSize > 0 ? Math.floor(tokens.length / blockSize) : 0;
    return this.#kernel.hashWindows(
      tokens,
      { size: blockSize, stride: blockSize, count },
      this.seedOf(namespace),
    );
  }

  /** Blocks of an Eagle draft: windows of one token more than the block, so that neighbours share a token. */
  hashEagle(tokens: Uint32Array, blockSize: number, namespace?: PromptNamespace): PromptHashes {
    const count = blockSize > 0 ? Math.floor(Math.max(0, tokens.length - 1) / blockSize) : 0;
    return this.#kernel.hashWindows(
      tokens,
      { size: blockSize + 1, stride: blockSize, count },
      this.seedOf(namespace),
    );
  }

  /**
   * The form of workers' events: a block's bytes are followed by its objects' hashes in ascending order.
   * `mmHashes` has an entry per block, empty or absent for text (see `mmHashesPerBlock`).
   */
  hashMultimodal(
    tokens: Uint32Array,
    blockSize: number,
    mmHashes: readonly (readonly bigint[] | null | undefined)[],
    namespace?: PromptNamespace,
  ): PromptHashes {
    const seed = this.seedOf(namespace);
    const { local } = this.hashPrompt(tokens, blockSize, namespace);
    for (let block = 0; block < local.length; block++) {
      const objects = mmHashes[block];
      if (objects == null || objects.length === 0) continue;
      const blockTokens = tokens.subarray(block * blockSize, (block + 1) * blockSize);
      local[block] = this.#kernel.hashBytes(bytesOf(blockTokens, objects), seed);
    }
    return { local, sequence: this.chain(local) };
  }

  /** Sequence hashes of consecutive blocks after `parentSequence`, or from the root without one. */
  chain(local: BigUint64Array, parentSequence?: bigint): BigUint64Array {
    return this.#kernel.chain(local, parentSequence);
  }

  hashBytes(bytes: Uint8Array, seed: bigint): bigint {
    return this.#kernel.hashBytes(bytes, seed);
  }

  hashText(text: string, seed: bigint): bigint {
    return this.#kernel.hashBytes(this.#utf8.encode(text), seed);
  }

  /** Seed of local hashes in a namespace; empty names count as absent. */
  seedOf(namespace: PromptNamespace | undefined): bigint {
    let seed = HASH_SEED;
    if (namespace?.loraName) seed += this.hashText(namespace.loraName, LORA_SEED);
    if (namespace?.cacheSalt) seed += this.hashText(namespace.cacheSalt, SALT_SEED);
    return BigInt.asUintN(U64, seed);
  }
}

function bytesOf(tokens: Uint32Array, objects: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(4 * tokens.length + 8 * objects.length);
  const view = new DataView(bytes.buffer);
  for (const [i, token] of tokens.entries()) view.setUint32(4 * i, token, true);
  const ascending = BigUint64Array.from(objects).sort();
  for (const [i, hash] of ascending.entries()) view.setBigUint64(4 * tokens.length + 8 * i, hash, true);
  return bytes;
}
