/** Storing and removing blocks of a rank. */

import { wasRefused } from './arena';
import { hasId, idHashes, ids, known, locals, prepareRemove, prepareStore, sequence } from './batch';
import { chainFrom, chainFromRoot } from './block-hash';
import { sequenceOf } from './block';
import { blockOf, detach, enter, leave, makeResidence, names, pin, release, tiersOf, touch, unpin } from './residence';
import { openRank, stateOf, widenRanks } from './rank';
import { sweep } from './sweep';
import { hashOf } from './bucket';
import { find } from './table';

const CHANGED: u32 = 0;
const UNCHANGED: u32 = 1;
const PARENT_NOT_FOUND: u32 = 2;
const BLOCK_NOT_FOUND: u32 = 3;
const CAPACITY_EXHAUSTED: u32 = 4;
const ALLOCATION_FAILED: u32 = 5;
const INVALID_BLOCK: u32 = 6;

/** Whether blocks follow a parent, and whether they may include it (a later part of an event). */
const ROOT: u32 = 0;
const CHECKED: u32 = 1;

/** What an event sweeps besides: more than it can add, or memory would grow while ranks come and go. */
const SWEEP_BASE: u32 = 32;
const SWEEP_PER_BLOCK: u32 = 4;

/** How many blocks of the last store were known. */
export let knownCount: u32 = 0;

/** Stores the consecutive blocks of the input after a parent or, without one, from the root. */
export function storeBlocks(rank: u32, tier: u32, parenting: u32, parentId: u64, count: u32): u32 {
  knownCount = 0;
  sweep(SWEEP_BASE + SWEEP_PER_BLOCK * count);
  let state = stateOf(rank);
  let parent: usize = 0;
  if (parenting != ROOT) {
    if (parenting == CHECKED && hasId(parentId, count)) return INVALID_BLOCK;
    if (state != 0) parent = find(state, parentId, hashOf(parentId));
    if (parent == 0 || tiersOf(parent) == 0) return PARENT_NOT_FOUND;
    chainFrom(sequenceOf(blockOf(parent)), locals, count, sequence);
  } else {
    chainFromRoot(locals, count, sequence);
  }
  if (count == 0) return CHANGED;
  if (state == 0) {
    state = widenRanks(rank + 1) ? openRank(rank) : 0;
    if (state == 0) return outOfMemory();
  }
  prepareStore(state, count);
  let outcome = UNCHANGED;
  for (let i: u32 = 0; i < count; i++) {
    const at: usize = i << 3;
    pin(parent);
    const id = load<u64>(ids + at);
    const hash = load<u64>(sequence + at);
    const idHash = load<u64>(idHashes + at);
    let residence = find(state, id, idHash);
    if (residence != 0 && !names(residence, hash)) {
      detach(state, residence);
      residence = 0;
    }
    if (residence == 0) {
      residence = makeResidence(state, id, idHash, hash, load<u64>(locals + at), parent);
      if (residence == 0) {
        unpin(state, parent);
        return outOfMemory();
      }
      // The parent stays pinned: by its child now.
    } else {
      unpin(state, parent);
    }
    if (((tiersOf(residence) >> tier) & 1) == 0) {
      outcome = CHANGED;
      pin(residence);
      const entered = enter(state, residence, tier);
      unpin(state, residence);
      if (!entered) return outOfMemory();
    } else {
      store<u32>(known + (<usize>knownCount << 2), i);
      knownCount++;
    }
    touch(residence);
    parent = residence;
  }
  return outcome;
}

/** Removes the blocks of the input from one tier, each by itself. */
export function removeBlocks(rank: u32, tier: u32, count: u32): u32 {
  sweep(SWEEP_BASE + SWEEP_PER_BLOCK * count);
  const state = stateOf(rank);
  if (state == 0) return count == 0 ? CHANGED : BLOCK_NOT_FOUND;
  prepareRemove(state, count);
  let outcome = CHANGED;
  for (let i: u32 = 0; i < count; i++) {
    const at: usize = i << 3;
    const residence = find(state, load<u64>(ids + at), load<u64>(idHashes + at));
    if (residence == 0 || ((tiersOf(residence) >> tier) & 1) == 0) {
      outcome = BLOCK_NOT_FOUND;
      continue;
    }
    leave(state, residence, tier);
    release(state, residence);
  }
  return outcome;
}

function outOfMemory(): u32 {
  return wasRefused() ? ALLOCATION_FAILED : CAPACITY_EXHAUSTED;
}
