import type { StorageTier } from '../event.ts';

/**
 * Further physical copies of blocks that one rank holds already. An engine may keep several, and reports each
 * one's removal: only the last one's is the block's. Single copies, nearly all, take no room here.
 */
export class BlockCopies {
  readonly #extra = new Map<StorageTier, Map<bigint, number>>();

  /** One more copy of a block that was there. */
  add(tier: StorageTier, blockHash: bigint): void {
    let copies = this.#extra.get(tier);
    if (copies === undefined) {
      copies = new Map();
      this.#extra.set(tier, copies);
    }
    copies.set(blockHash, (copies.get(blockHash) ?? 0) + 1);
  }

  /** The blocks from one place to before another have but the copy that was just stored, whatever was counted of their ids. */
  single(tier: StorageTier, blockHashes: BigUint64Array, from: number, to: number): void {
    const copies = this.#extra.get(tier);
    if (copies === undefined || copies.size === 0) return;
    for (let place = from; place < to; place++) copies.delete(blockHashes[place]!);
  }

  /** Takes one copy of each away and returns the blocks of which it was the last. */
  remove(tier: StorageTier, blockHashes: BigUint64Array): BigUint64Array {
    const copies = this.#extra.get(tier);
    if (copies === undefined || copies.size === 0) return blockHashes;
    return blockHashes.filter((hash) => {
      const extra = copies.get(hash);
      if (extra === undefined) return true;
      if (extra > 1) copies.set(hash, extra - 1);
      else copies.delete(hash);
      return false;
    });
  }

  clear(): void {
    this.#extra.clear();
  }
}
