/** Entry of the index kernel: what JavaScript calls. Addresses are byte offsets into the imported memory. */

import { openAliases } from './alias';
import { BATCH_BLOCKS, ids, known, locals, openBatch } from './batch';
import { knownCount, removeBlocks, storeBlocks } from './apply';
import { give, openArena, take, usedBytes } from './arena';
import { heldBlocks, openBlocks } from './block';
import { evicted } from './evict';
import { depthsAt, matchBlocks, prepareMatch } from './match';
import { evictedOf, clearRank, rankCapacity, residents, residentsOf, stateOf } from './rank';
import { sweep } from './sweep';
import { bucketAt, bucketsOf } from './table';

export { clearRank, depthsAt, matchBlocks, prepareMatch, removeBlocks, storeBlocks, sweep, usedBytes };

let input: usize = 0;
let inputBytes: usize = 0;

/** Opens an empty index that takes so many bytes at most; false if they do not even hold that. */
export function open(limitBytes: usize): bool {
  openArena(limitBytes);
  return openBlocks() && openAliases() && openBatch();
}

/** Room for the hashes of a match; the same until more is asked for. 0 if there is no memory for it. */
export function reserveInput(bytes: usize): usize {
  if (bytes <= inputBytes && input != 0) return input;
  const larger: usize = bytes <= 4096 ? 4096 : <usize>1 << (32 - clz<u32>(<u32>bytes - 1));
  const fresh = take(larger);
  if (fresh == 0) return 0;
  if (input != 0) give(input, inputBytes);
  input = fresh;
  inputBytes = larger;
  return input;
}

/** Most blocks in a call that stores or removes. */
export function batchBlocks(): u32 {
  return BATCH_BLOCKS;
}

/** Where such a call's input goes: ids, and local hashes to be stored. */
export function batchIds(): usize {
  return ids;
}

export function batchLocals(): usize {
  return locals;
}

/** Places, in the last store's input, of blocks that the rank held in that tier already. */
export function batchKnown(): usize {
  return known;
}

export function countKnown(): u32 {
  return knownCount;
}

export function countBlocks(): u32 {
  return heldBlocks;
}

export function countResidents(): u32 {
  return residents;
}

export function countResidentsOf(rank: u32): u32 {
  const state = stateOf(rank);
  return state == 0 ? 0 : residentsOf(state);
}

export function countEvicted(): u64 {
  return evicted;
}

export function countEvictedOf(rank: u32): u32 {
  const state = stateOf(rank);
  return state == 0 ? 0 : evictedOf(state);
}

export function capacityOfRanks(): u32 {
  return rankCapacity;
}

/** Chains of the rank's table of residences; 0 for a rank without any. */
export function chainsOf(rank: u32): u32 {
  const state = stateOf(rank);
  return state == 0 ? 0 : bucketsOf(state);
}

/** The first bucket of a chain; its layout is in `table.ts`. */
export function chainAt(rank: u32, chain: u32): usize {
  return bucketAt(stateOf(rank), chain);
}
