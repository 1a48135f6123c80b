import type { Overlaps } from '../overlap.ts';

/**
 * The eligible ranks of one decision, column by column; row i is one rank. Reused from decision to decision,
 * so that choosing among many ranks allocates nothing.
 */
export class CandidateTable {
  #count = 0;
  #capacity = 0;
  /** Columns that are 0 unless written. */
  #zeroed: readonly (Uint32Array | Float64Array | Uint8Array)[] = [];
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
  /** What the KV cost takes off for cached blocks; not a number where it was not reckoned. */
  creditBlocks = new Float64Array(0);
  /** 0: nothing is known of its load, and its prompt counts undiminished. */
  hasLoad = new Uint8Array(0);
  prefillTokens = new Float64Array(0);
  activeBlocks = new Float64Array(0);
  activeRequests = new Float64Array(0);
  /** Prompt blocks that the rank does not have in active use yet. */
  additionalBlocks = new Float64Array(0);
  /** Factor on the cost from preferred taints; 1 without any. */
  taintFactor = new Float64Array(0);
  /** 1: runs on a CPU beside accelerators. */
  onCpu = new Uint8Array(0);
  /** Blocks the rank holds in all; breaks ties of the 1.0 cost. */
  residentBlocks = new Float64Array(0);

  get count(): number {
    return this.#count;
  }

  /** Makes a table of so many idle ranks without cached blocks; the caller writes ids and what is different. */
  begin(count: number): void {
    if (count > this.#capacity) this.#grow(Math.max(16, 2 * count));
    this.#count = count;
    this.hasLoad.fill(1, 0, count);
    this.taintFactor.fill(1, 0, count);
    this.creditBlocks.fill(Number.NaN, 0, count);
    for (const column of this.#zeroed) column.fill(0, 0, count);
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
    this.#capacity = capacity;
    this.rank = new Uint32Array(capacity);
    this.device = new Uint32Array(capacity);
    this.hostPinned = new Uint32Array(capacity);
    this.disk = new Uint32Array(capacity);
    this.external = new Uint32Array(capacity);
    this.sharedBeyond = new Float64Array(capacity);
    this.cachedTokens = new Float64Array(capacity);
    this.creditBlocks = new Float64Array(capacity);
    this.hasLoad = new Uint8Array(capacity);
    this.prefillTokens = new Float64Array(capacity);
    this.activeBlocks = new Float64Array(capacity);
    this.activeRequests = new Float64Array(capacity);
    this.additionalBlocks = new Float64Array(capacity);
    this.taintFactor = new Float64Array(capacity);
    this.onCpu = new Uint8Array(capacity);
    this.residentBlocks = new Float64Array(capacity);
    this.#zeroed = [
      this.device,
      this.hostPinned,
      this.disk,
      this.external,
      this.sharedBeyond,
      this.cachedTokens,
      this.prefillTokens,
      this.activeBlocks,
      this.activeRequests,
      this.additionalBlocks,
      this.onCpu,
      this.residentBlocks,
    ];
  }
}
