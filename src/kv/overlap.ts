/**
 * What each rank holds of one prompt, in blocks, indexed by rank id. `device` counts leading blocks from
 * position 0 without a hole; each further tier counts the blocks by which it extends the tiers before it.
 * An index may reuse one object for every match: read it before the next call.
 */
export interface Overlaps {
  readonly device: Uint32Array;
  readonly hostPinned: Uint32Array;
  readonly disk: Uint32Array;
  readonly external: Uint32Array;
}
