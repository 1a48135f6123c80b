import type { Overlaps } from '../overlap.ts';

/** Loads and facts of one rank, as {@link CandidateTable.add} takes them. */
export interface CandidateFacts {
  readonly rank: number;
  /** False: nothing is known of its load, and its prompt counts undiminished. */
  readonly hasLoad: boolean;
  readonly prefillTokens: number;
  readonly activeBlocks: number;
  readonly activeRequests: number;
  /** Prompt blocks that the rank does not have in active use yet. */
  readonly additionalBlocks: number;
  /** Factor on the cost from preferred taints; 1 without any. */
  readonly taintFactor: number;
  /** Runs on a CPU beside accelerators. */
  readonly onCpu: boolean;
}

/**
 * The eligible ranks of one decision, column by column; row i is one rank. Reused from decision to decision,
 * so that choosing among many ranks allocates nothing.
 */
export class CandidateTable {
  #count = 0;
  #capacity = 0;
  rank = new Uint32Array(0);
  /** Blocks cached in each tier: leading ones on the device, extensions in the others. */
  device = new Uint32Array(0);
  hostPinned = new Uint32Array(0);
  disk = new Uint32Array(0);
  external = new Uint32Array(0);
  /** Blocks a shared cache has beyond those on the device. */
  sharedBeyond = new Float64Array(0);
  /** Prompt tokens taken as cached, weighted by tier. */
  cachedTokens = new Float64Array(0);
  hasLoad = new Uint8Array(0);
  prefillTokens = new Float64Array(0);
  activeBlocks = new Float64Array(0);
  activeRequests = new Float64Array(0);
  additionalBlocks = new Float64Array(0);
  taintFactor = new Float64Array(0);
  onCpu = new Uint8Array(0);
  /** Blocks the rank holds in all; breaks ties of the 1.0 cost. */
  residentBlocks = new Float64Array(0);

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Appends a row without cached blocks. */
  add(facts: CandidateFacts): number {
    const row = this.#count++;
    if (row >= this.#capacity) this.#grow(Math.max(16, 2 * row));
    this.rank[row] = facts.rank;
    this.hasLoad[row] = facts.hasLoad ? 1 : 0;
    this.prefillTokens[row] = facts.prefillTokens;
    this.activeBlocks[row] = facts.activeBlocks;
    this.activeRequests[row] = facts.activeRequests;
    this.additionalBlocks[row] = facts.additionalBlocks;
    this.taintFactor[row] = facts.taintFactor;
    this.onCpu[row] = facts.onCpu ? 1 : 0;
    this.residentBlocks[row] = 0;
    this.setOverlap(row, 0, 0, 0, 0);
    return row;
  }

  setOverlap(row: number, device: number, hostPinned: number, disk: number, external: number): void {
    this.device[row] = device;
    this.hostPinned[row] = hostPinned;
    this.disk[row] = disk;
    this.external[row] = external;
    this.sharedBeyond[row] = 0;
    this.cachedTokens[row] = 0;
  }

  /** Takes the rows' overlaps from a match, raised to `predicted` (device blocks by rank) where that is more. */
  takeOverlaps(overlaps: Overlaps, predicted?: Uint32Array): void {
    for (let row = 0; row < this.#count; row++) {
      const rank = this.rank[row]!;
      const device = overlaps.device[rank] ?? 0;
      const routed = predicted?.[rank] ?? 0;
      const hostPinned = overlaps.hostPinned[rank] ?? 0;
      const disk = overlaps.disk[rank] ?? 0;
      const external = overlaps.external[rank] ?? 0;
      // What a prediction puts on the device is no longer an extension of it.
      const excess = Math.max(0, routed - device);
      const host = Math.max(0, hostPinned - excess);
      const afterHost = Math.max(0, excess - hostPinned);
      const onDisk = Math.max(0, disk - afterHost);
      const outside = Math.max(0, external - Math.max(0, afterHost - disk));
      this.setOverlap(row, Math.max(device, routed), host, onDisk, outside);
    }
  }

  #grow(capacity: number): void {
    const u32 = (old: Uint32Array): Uint32Array<ArrayBuffer> => grown(old, new Uint32Array(capacity));
    const f64 = (old: Float64Array): Float64Array<ArrayBuffer> => grown(old, new Float64Array(capacity));
    const u8 = (old: Uint8Array): Uint8Array<ArrayBuffer> => grown(old, new Uint8Array(capacity));
    this.rank = u32(this.rank);
    this.device = u32(this.device);
    this.hostPinned = u32(this.hostPinned);
    this.disk = u32(this.disk);
    this.external = u32(this.external);
    this.sharedBeyond = f64(this.sharedBeyond);
    this.cachedTokens = f64(this.cachedTokens);
    this.hasLoad = u8(this.hasLoad);
    this.prefillTokens = f64(this.prefillTokens);
    this.activeBlocks = f64(this.activeBlocks);
    this.activeRequests = f64(this.activeRequests);
    this.additionalBlocks = f64(this.additionalBlocks);
    this.taintFactor = f64(this.taintFactor);
    this.onCpu = u8(this.onCpu);
    this.residentBlocks = f64(this.residentBlocks);
    this.#capacity = capacity;
  }
}

function grown<T extends { set(from: ArrayLike<number>): void }>(old: ArrayLike<number>, larger: T): T {
  larger.set(old);
  return larger;
}
