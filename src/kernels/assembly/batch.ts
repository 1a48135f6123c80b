/** The input of a call, and room for what is worked out for each of its blocks: one array after another. */

import { glanceAtBlocks, glanceAtBlockSplits, sequenceOf } from './block';
import { take } from './arena';
import { blockOf } from './residence';
import { glance, glanceAtSplits } from './table';

/** Most blocks in a call; the caller parts longer events. */
export const BATCH_BLOCKS: u32 = 1024;
const COLUMN: usize = BATCH_BLOCKS * 8;

/** Engine's ids and local hashes, which the caller fills in. */
export let ids: usize = 0;
export let locals: usize = 0;
/** Sequence hashes. */
export let sequence: usize = 0;
/** Table hashes of the ids. */
export let idHashes: usize = 0;
let blockHashes: usize = 0;
/** Addresses u32. */
let records: usize = 0;
/** Places u32 of the blocks to be stored that the rank held in the tier already. */
export let known: usize = 0;

/** Takes what is loaded for the cache's sake, lest the compiler drops it. */
let seen: u64 = 0;

export function openBatch(): bool {
  ids = take(6 * COLUMN);
  locals = ids + COLUMN;
  sequence = locals + COLUMN;
  idHashes = sequence + COLUMN;
  blockHashes = idHashes + COLUMN;
  records = blockHashes + COLUMN;
  known = records + COLUMN / 2;
  return ids != 0;
}

/** Hashes the ids, and brings into the cache what storing needs: residences that exist, or else blocks. */
export function prepareStore(state: usize, count: u32): void {
  glance(state, ids, count, idHashes, records);
  let missing: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const residence = load<u32>(records + (<usize>i << 2));
    if (residence == 0) missing++;
    else seen ^= sequenceOf(blockOf(residence));
  }
  if (missing == 0) return;
  glanceAtBlocks(sequence, count, blockHashes, records);
  glanceAtSplits(state, missing);
  glanceAtBlockSplits(missing);
}

/** Hashes the ids, and brings into the cache what removing needs; overwrites the sequence hashes. */
export function prepareRemove(state: usize, count: u32): void {
  glance(state, ids, count, idHashes, records);
  for (let i: u32 = 0; i < count; i++) {
    const residence = load<u32>(records + (<usize>i << 2));
    store<u64>(sequence + (<usize>i << 3), residence == 0 ? 0 : sequenceOf(blockOf(residence)));
  }
  glanceAtBlocks(sequence, count, blockHashes, records);
}

/** Whether an id is among those of the input. */
export function hasId(id: u64, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) if (load<u64>(ids + (<usize>i << 3)) == id) return true;
  return false;
}
