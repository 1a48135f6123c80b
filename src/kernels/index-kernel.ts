import { fail } from '../base/errors.ts';
import { INDEX_KERNEL } from './index-kernel.generated.ts';
import { instantiateKernel, KernelMemory, MAX_PAGES, PAGE_BYTES } from './kernel-memory.ts';

/** What `assembly/index-module.ts` exports; counts and addresses are u32, which arrive signed. */
interface IndexExports {
  open(limitBytes: number): number;
  reserveInput(bytes: number): number;
  batchBlocks(): number;
  batchIds(): number;
  batchLocals(): number;
  batchKnown(): number;
  countKnown(): number;
  storeBlocks(rank: number, tier: number, parenting: number, parent: bigint, count: number): number;
  removeBlocks(rank: number, tier: number, count: number): number;
  clearRank(rank: number): void;
  sweep(budget: number): number;
  prepareMatch(count: number): number;
  matchBlocks(hashes: number, count: number): void;
  depthsAt(): number;
  capacityOfRanks(): number;
  countBlocks(): number;
  countResidents(): number;
  countResidentsOf(rank: number): number;
  countEvictedOf(rank: number): number;
  countEvicted(): bigint;
  usedBytes(): number;
  chainsOf(rank: number): number;
  chainAt(rank: number, chain: number): number;
}

/** How storing and removing ended, as `assembly/apply.ts` numbers it. */
export const INDEX_OUTCOME = {
  changed: 0,
  unchanged: 1,
  parentNotFound: 2,
  blockNotFound: 3,
  capacityExhausted: 4,
  allocationFailed: 5,
  invalidBlock: 6,
} as const;
export type IndexOutcome = (typeof INDEX_OUTCOME)[keyof typeof INDEX_OUTCOME];

/** Depths by tier, each by rank; views that the next match overwrites. */
export interface TierDepths {
  readonly device: Uint32Array;
  readonly hostPinned: Uint32Array;
  readonly disk: Uint32Array;
  readonly external: Uint32Array;
}

/** A residence as `assembly/residence.ts` lays it out, with the block that it names; addresses identify. */
export interface RawResidence {
  readonly id: bigint;
  readonly sequence: bigint;
  readonly local: bigint;
  /** Address of the parent's residence; 0 at the root. */
  readonly parentAt: number;
  readonly tiers: number;
}

const MIN_LIMIT_BYTES = 16 * PAGE_BYTES;
/** Ranks above could not be told apart by the kernel's holder numbers. */
const MAX_RANK = 1_000_000;

/** The block table in WebAssembly (`assembly/`): one instance is one index, which never outgrows its limit. */
export class IndexKernel {
  readonly limitBytes: number;
  readonly #memory: KernelMemory;
  readonly #exports: IndexExports;
  /** Blocks that cross into WebAssembly at a time: bounds the room that input takes. */
  readonly #batch: number;
  #depths: TierDepths | undefined;
  #depthsBuffer: ArrayBufferLike | undefined;
  #depthsAt = 0;

  /** The limit counts all memory of the index, in whole pages of 64 KiB; it is at least 1 MiB and below 4 GiB. */
  constructor(limitBytes: number) {
    if (!(limitBytes >= MIN_LIMIT_BYTES))
      throw fail('KV_MEMORY_EXHAUSTED', { sizeBytes: limitBytes, neededBytes: MIN_LIMIT_BYTES });
    // One page short of 4 GiB, so that the end of memory is a u32.
    this.limitBytes = PAGE_BYTES * Math.min(MAX_PAGES - 1, Math.floor(limitBytes / PAGE_BYTES));
    this.#memory = new KernelMemory(this.limitBytes);
    this.#exports = instantiateKernel<IndexExports>(INDEX_KERNEL, this.#memory);
    this.#exports.open(this.limitBytes);
    this.#batch = this.#exports.batchBlocks();
  }

  /**
   * Stores consecutive blocks after `parent`, or from the root; both arrays have one entry per block. Refused as
   * invalid if the parent is among them. `onKnown` hears the place of each that the rank held in the tier already.
   */
  store(
    rank: number,
    tier: number,
    parent: bigint | undefined,
    ids: BigUint64Array,
    locals: BigUint64Array,
    onKnown?: (place: number) => void,
  ): IndexOutcome {
    if (rank > MAX_RANK) return INDEX_OUTCOME.capacityExhausted;
    if (ids.length > this.#batch && parent !== undefined && ids.includes(parent))
      return INDEX_OUTCOME.invalidBlock;
    let outcome = this.#storeChunk(rank, tier, parent, ids, locals, 0);
    if (onKnown !== undefined) this.#tellKnown(0, onKnown);
    for (let from = this.#batch; from < ids.length && isDone(outcome); from += this.#batch) {
      const next = this.#storeChunk(rank, tier, ids[from - 1], ids, locals, from);
      if (onKnown !== undefined) this.#tellKnown(from, onKnown);
      if (next !== INDEX_OUTCOME.unchanged) outcome = next;
    }
    return outcome;
  }

  remove(rank: number, tier: number, ids: BigUint64Array): IndexOutcome {
    let outcome: IndexOutcome = INDEX_OUTCOME.changed;
    for (let from = 0; from < ids.length; from += this.#batch) {
      const chunk = ids.length <= this.#batch ? ids : ids.subarray(from, from + this.#batch);
      this.#memory.u64.set(chunk, this.#exports.batchIds() / 8);
      const next = this.#exports.removeBlocks(rank, tier, chunk.length) as IndexOutcome;
      if (next !== INDEX_OUTCOME.changed) outcome = next;
    }
    return outcome;
  }

  /** Forgets a rank: at once for all that asks, and bit by bit with later calls in memory. */
  clear(rank: number): void {
    this.#exports.clearRank(rank);
  }

  /** Frees what cleared ranks held, up to so many residents; true when nothing is left to free. */
  sweep(budget: number): boolean {
    return this.#exports.sweep(budget) === 0;
  }

  match(sequence: BigUint64Array): TierDepths {
    const count = sequence.length;
    const at = this.#reserveInput(8 * count);
    if (this.#exports.prepareMatch(count) === 0) this.#failForMemory(8 * count);
    this.#memory.u64.set(sequence, at / 8);
    this.#exports.matchBlocks(at, count);
    return this.#views();
  }

  residentsOf(rank: number): number {
    return this.#exports.countResidentsOf(rank) >>> 0;
  }

  /** Residents of the rank that were dropped for lack of memory since it was cleared. */
  evictedOf(rank: number): number {
    return this.#exports.countEvictedOf(rank) >>> 0;
  }

  get blocks(): number {
    return this.#exports.countBlocks() >>> 0;
  }

  get residents(): number {
    return this.#exports.countResidents() >>> 0;
  }

  get evicted(): number {
    return Number(this.#exports.countEvicted());
  }

  get memoryBytes(): number {
    return this.#memory.sizeBytes;
  }

  get usedBytes(): number {
    return this.#exports.usedBytes() >>> 0;
  }

  /** One more than the highest rank that depths have room for. */
  get rankCapacity(): number {
    return this.#exports.capacityOfRanks() >>> 0;
  }

  /** Addresses of the residences of a rank, those kept for descendants only included; in no order. */
  residencesOf(rank: number): number[] {
    const chains = this.#exports.chainsOf(rank);
    const found: number[] = [];
    const u32 = this.#memory.u32;
    for (let chain = 0; chain < chains; chain++) {
      // Bucket: twelve tags of a byte, the next bucket, twelve records with a hint each (`assembly/table.ts`).
      for (let bucket = this.#exports.chainAt(rank, chain) >>> 0; bucket !== 0; bucket = u32[bucket / 4 + 3]!)
        for (let cell = 0; cell < 12 && this.#memory.u8[bucket + cell] !== 0; cell++)
          found.push((u32[bucket / 4 + 4 + cell]! & ~7) >>> 0);
    }
    return found;
  }

  readResidence(at: number): RawResidence {
    const { u32, u64 } = this.#memory;
    const block = u32[at / 4 + 2]!;
    return {
      id: u64[at / 8]!,
      parentAt: u32[at / 4 + 3]!,
      tiers: u32[at / 4 + 5]! & 0xf,
      sequence: u64[block / 8]!,
      local: u64[block / 8 + 1]!,
    };
  }

  #storeChunk(
    rank: number,
    tier: number,
    parent: bigint | undefined,
    ids: BigUint64Array,
    locals: BigUint64Array,
    from: number,
  ): IndexOutcome {
    const whole = ids.length <= this.#batch;
    const someIds = whole ? ids : ids.subarray(from, from + this.#batch);
    const someLocals = whole ? locals : locals.subarray(from, from + this.#batch);
    const u64 = this.#memory.u64;
    u64.set(someIds, this.#exports.batchIds() / 8);
    u64.set(someLocals, this.#exports.batchLocals() / 8);
    const parenting = parent === undefined ? 0 : from === 0 ? 1 : 2;
    return this.#exports.storeBlocks(rank, tier, parenting, parent ?? 0n, someIds.length) as IndexOutcome;
  }

  #tellKnown(from: number, onKnown: (place: number) => void): void {
    const count = this.#exports.countKnown();
    const at = this.#exports.batchKnown() / 4;
    for (let i = 0; i < count; i++) onKnown(from + this.#memory.u32[at + i]!);
  }

  #reserveInput(bytes: number): number {
    const at = this.#exports.reserveInput(bytes) >>> 0;
    if (at === 0) this.#failForMemory(bytes);
    return at;
  }

  #failForMemory(neededBytes: number): never {
    throw fail('KV_MEMORY_EXHAUSTED', { sizeBytes: this.memoryBytes, neededBytes });
  }

  #views(): TierDepths {
    const buffer = this.#memory.buffer;
    const at = this.#exports.depthsAt() >>> 0;
    if (this.#depths === undefined || this.#depthsBuffer !== buffer || this.#depthsAt !== at) {
      const capacity = this.rankCapacity;
      const tier = (i: number): Uint32Array => new Uint32Array(buffer, at + 4 * capacity * i, capacity);
      this.#depths = { device: tier(0), hostPinned: tier(1), disk: tier(2), external: tier(3) };
      this.#depthsBuffer = buffer;
      this.#depthsAt = at;
    }
    return this.#depths;
  }
}

function isDone(outcome: IndexOutcome): boolean {
  return outcome === INDEX_OUTCOME.changed || outcome === INDEX_OUTCOME.unchanged;
}
