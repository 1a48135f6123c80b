import type { KvEvent, KvRemoved, KvStored } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import type { Overlaps } from '../overlap.ts';
import { dumpRank, type Residence } from './dump.ts';
import { APPLIED, type Applied, type IndexStats, type KvIndex, type RankEvent, TIERS } from './kv-index.ts';

interface NaiveResidence extends Residence {
  tiers: number;
}

/** Number of a rank's ids that name a block, by rank. */
type Holders = Map<number, number>;

/**
 * The meaning of {@link KvIndex} in maps and sets, with no thought for speed, memory or a limit: the model that
 * the fast index is tested against, and the baseline of its benches.
 */
export class NaiveIndex implements KvIndex {
  readonly #hasher = new BlockHasher();
  readonly #ranks = new Map<number, Map<bigint, NaiveResidence>>();
  /** By tier, then by sequence hash. */
  readonly #holders: readonly Map<bigint, Holders>[] = TIERS.map(() => new Map());

  apply(rank: number, event: KvEvent, onKnown?: (place: number) => void): Applied {
    switch (event.kind) {
      case 'stored':
        return this.#store(rank, event, onKnown);
      case 'removed':
        return this.#remove(rank, event);
      case 'cleared':
        this.removeRank(rank);
        return APPLIED.ok;
    }
  }

  match(sequence: BigUint64Array): Overlaps {
    const depths = new Uint32Array(Math.max(-1, ...this.#ranks.keys()) + 1);
    const [device, hostPinned, disk, external] = this.#holders.map((blocks) => {
      const from = depths.slice();
      if (blocks.size > 0) walk(blocks, sequence, depths);
      return depths.map((depth, rank) => depth - from[rank]!);
    });
    return { device: device!, hostPinned: hostPinned!, disk: disk!, external: external! };
  }

  removeRank(rank: number): void {
    for (const residence of this.#ranks.get(rank)?.values() ?? [])
      this.#drop(rank, residence, residence.tiers);
    this.#ranks.delete(rank);
  }

  residentsOf(rank: number): number {
    return this.#ranks.get(rank)?.size ?? 0;
  }

  /** It has no limit. */
  evictedOf(): number {
    return 0;
  }

  dump(rank?: number): readonly RankEvent[] {
    const ranks = rank === undefined ? [...this.#ranks.keys()] : [rank];
    return ranks.flatMap((each) =>
      dumpRank([...(this.#ranks.get(each)?.values() ?? [])]).map((event) => ({ rank: each, event })),
    );
  }

  stats(): IndexStats {
    const blocks = new Set(this.#holders.flatMap((tier) => [...tier.keys()]));
    let residents = 0;
    for (const held of this.#ranks.values()) residents += held.size;
    // About what V8 takes for an entry of a Map with a bigint key and a small object (measured, stack notes).
    const bytes = 200 * residents;
    return {
      blocks: blocks.size,
      residents,
      memoryBytes: bytes,
      usedBytes: bytes,
      limitBytes: Number.POSITIVE_INFINITY,
      evicted: 0,
    };
  }

  #store(
    rank: number,
    { parentHash, blockHashes, localHashes, tier = 'device' }: KvStored,
    onKnown: ((place: number) => void) | undefined,
  ): Applied {
    if (blockHashes.length !== localHashes.length) return APPLIED.invalidBlock;
    if (parentHash !== undefined && blockHashes.includes(parentHash)) return APPLIED.invalidBlock;
    let parent: NaiveResidence | undefined;
    if (parentHash !== undefined) {
      parent = this.#ranks.get(rank)?.get(parentHash);
      if (parent === undefined) return APPLIED.parentNotFound;
    }
    const bit = 1 << TIERS.indexOf(tier);
    const sequence = this.#hasher.chain(localHashes, parent?.sequenceHash);
    let changed = blockHashes.length === 0;
    for (let i = 0; i < blockHashes.length; i++) {
      const residence = this.#residence(rank, blockHashes[i]!, sequence[i]!, localHashes[i]!, parent);
      if ((residence.tiers & bit) === 0) {
        this.#hold(rank, residence, bit);
        changed = true;
      } else onKnown?.(i);
      parent = residence;
    }
    return changed ? APPLIED.ok : APPLIED.duplicateStore;
  }

  /** The id's residence as that block; what the id named before is gone if it was another. */
  #residence(
    rank: number,
    blockHash: bigint,
    sequenceHash: bigint,
    localHash: bigint,
    parent: Residence | undefined,
  ): NaiveResidence {
    let held = this.#ranks.get(rank);
    if (held === undefined) {
      held = new Map();
      this.#ranks.set(rank, held);
    }
    const known = held.get(blockHash);
    if (known?.sequenceHash === sequenceHash) return known;
    if (known !== undefined) this.#drop(rank, known, known.tiers);
    const residence = { blockHash, sequenceHash, localHash, parent, tiers: 0 };
    held.set(blockHash, residence);
    return residence;
  }

  #remove(rank: number, { blockHashes, tier = 'device' }: KvRemoved): Applied {
    const held = this.#ranks.get(rank);
    const bit = 1 << TIERS.indexOf(tier);
    let status: Applied = APPLIED.ok;
    for (const blockHash of blockHashes) {
      const residence = held?.get(blockHash);
      if (held === undefined || residence === undefined || (residence.tiers & bit) === 0) {
        status = APPLIED.blockNotFound;
        continue;
      }
      this.#drop(rank, residence, bit);
      if (residence.tiers === 0) held.delete(blockHash);
    }
    return status;
  }

  #hold(rank: number, residence: NaiveResidence, bit: number): void {
    residence.tiers |= bit;
    const blocks = this.#holders[Math.log2(bit)]!;
    let holders = blocks.get(residence.sequenceHash);
    if (holders === undefined) {
      holders = new Map();
      blocks.set(residence.sequenceHash, holders);
    }
    holders.set(rank, (holders.get(rank) ?? 0) + 1);
  }

  #drop(rank: number, residence: NaiveResidence, mask: number): void {
    residence.tiers &= ~mask;
    for (const [tier, blocks] of this.#holders.entries()) {
      if ((mask & (1 << tier)) === 0) continue;
      const holders = blocks.get(residence.sequenceHash)!;
      const left = holders.get(rank)! - 1;
      if (left > 0) holders.set(rank, left);
      else holders.delete(rank);
      if (holders.size === 0) blocks.delete(residence.sequenceHash);
    }
  }
}

/** Moves each rank's depth on past the blocks that it holds. */
function walk(blocks: ReadonlyMap<bigint, Holders>, sequence: BigUint64Array, depths: Uint32Array): void {
  let deepest = Math.max(...depths);
  for (let block = 0; block < sequence.length && block <= deepest; block++) {
    for (const rank of blocks.get(sequence[block]!)?.keys() ?? [])
      if (depths[rank] === block) {
        depths[rank] = block + 1;
        deepest = Math.max(deepest, block + 1);
      }
  }
}
