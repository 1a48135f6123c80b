import type { KvStored, StorageTier } from '../event.ts';

interface Orphan {
  readonly tier: StorageTier;
  readonly blockHash: bigint;
  readonly localHash: bigint;
  readonly parentHash: bigint;
  copies: number;
}

const MAX_ORPHANS = 65_536;

/**
 * Blocks that one rank holds in offload tiers behind a block that it holds nowhere. What they are a prefix of is not
 * known, and no prompt reaches them; once the block before them is back they count again.
 */
export class OrphanBlocks {
  readonly #limit: number;
  readonly #byBlock = new Map<string, Orphan>();
  readonly #byParent = new Map<bigint, Set<Orphan>>();

  constructor(limit = MAX_ORPHANS) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byBlock.size;
  }

  /** Keeps the blocks of a store whose parent is not held; false if there is no room for all. */
  add(event: KvStored): boolean {
    const { tier = 'device', blockHashes, localHashes } = event;
    let { parentHash } = event;
    if (this.size + blockHashes.length > this.#limit) return false;
    for (const [i, blockHash] of blockHashes.entries()) {
      if (parentHash === undefined) return false;
      const known = this.#byBlock.get(nameOf(tier, blockHash));
      if (known?.parentHash === parentHash) known.copies++;
      else {
        if (known !== undefined) this.#drop(known);
        this.#keep({ tier, blockHash, localHash: localHashes[i]!, parentHash, copies: 1 });
      }
      parentHash = blockHash;
    }
    return true;
  }

  /** The stores of blocks that directly follow one that is held now, one for each copy; they are orphans no longer. */
  adopted(parentHash: bigint): KvStored[] {
    const children = [...(this.#byParent.get(parentHash) ?? [])];
    for (const child of children) this.#drop(child);
    return children.flatMap(storesOf);
  }

  /** The stores of all, one for each copy: applied elsewhere they are orphans there. */
  *events(): Generator<KvStored> {
    for (const orphan of this.#byBlock.values()) yield* storesOf(orphan);
  }

  /** Takes one copy of each away; returns those that are no orphans. */
  remove(tier: StorageTier, blockHashes: BigUint64Array): BigUint64Array {
    if (this.size === 0) return blockHashes;
    return blockHashes.filter((blockHash) => {
      const orphan = this.#byBlock.get(nameOf(tier, blockHash));
      if (orphan === undefined) return true;
      orphan.copies--;
      if (orphan.copies === 0) this.#drop(orphan);
      return false;
    });
  }

  clear(): void {
    this.#byBlock.clear();
    this.#byParent.clear();
  }

  #keep(orphan: Orphan): void {
    this.#byBlock.set(nameOf(orphan.tier, orphan.blockHash), orphan);
    const siblings = this.#byParent.get(orphan.parentHash) ?? new Set();
    this.#byParent.set(orphan.parentHash, siblings.add(orphan));
  }

  #drop(orphan: Orphan): void {
    this.#byBlock.delete(nameOf(orphan.tier, orphan.blockHash));
    const siblings = this.#byParent.get(orphan.parentHash);
    siblings?.delete(orphan);
    if (siblings?.size === 0) this.#byParent.delete(orphan.parentHash);
  }
}

function storesOf({ tier, parentHash, blockHash, localHash, copies }: Orphan): KvStored[] {
  const block = { blockHashes: BigUint64Array.of(blockHash), localHashes: BigUint64Array.of(localHash) };
  return Array.from({ length: copies }, () => ({ kind: 'stored', tier, parentHash, ...block }));
}

function nameOf(tier: StorageTier, blockHash: bigint): string {
  return `${tier} ${blockHash}`;
}
