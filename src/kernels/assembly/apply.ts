/** Storing and removing blocks of a rank. */

import { wasRefused } from './arena';
import { chainFrom, chainFromRoot } from './block-hash';
import { glanceAtBlocks, glanceAtBlockSplits, sequenceOf } from './block';
import { blockOf, detach, enter, leave, makeResidence, names, pin, release, tiersOf, touch, unpin } from './residence';
import { openRank, stateOf, widenRanks } from './rank';
import { sweep } from './sweep';
import { find, glance, glanceAtSplits, hashOf } from './table';

export const CHANGED: u32 = 0;
export const UNCHANGED: u32 = 1;
export const PARENT_NOT_FOUND: u32 = 2;
export const BLOCK_NOT_FOUND: u32 = 3;
export const CAPACITY_EXHAUSTED: u32 = 4;
export const ALLOCATION_FAILED: u32 = 5;
export const INVALID_BLOCK: u32 = 6;

/** Whether blocks follow a parent, and whether they may include it (a later part of an event). */
const ROOT: u32 = 0;
const CHECKED: u32 = 1;

/** Takes what glances load, lest the compiler drops them. */
let seen: u64 = 0;

/** What an event sweeps besides: more than it can add, or memory would grow while ranks come and go. */
const SWEEP_BASE: u32 = 32;
const SWEEP_PER_BLOCK: u32 = 4;

/** Stores consecutive blocks after a parent or, without one, from the root; `sequence` is room for their hashes. */
export function storeBlocks(
  rank: u32,
  tier: u32,
  parenting: u32,
  parentId: u64,
  count: u32,
  ids: usize,
  locals: usize,
  sequence: usize,
): u32 {
  sweep(SWEEP_BASE + SWEEP_PER_BLOCK * count);
  let state = stateOf(rank);
  let parent: usize = 0;
  if (parenting != ROOT) {
    if (parenting == CHECKED && contains(ids, count, parentId)) return INVALID_BLOCK;
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
  glanceAtStores(state, count, ids, sequence, sequence + (<usize>count << 3));
  let outcome = UNCHANGED;
  for (let i: u32 = 0; i < count; i++) {
    const at: usize = i << 3;
    pin(parent);
    const id = load<u64>(ids + at);
    const hash = load<u64>(sequence + at);
    const idHash = hashOf(id);
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
    }
    touch(residence);
    parent = residence;
  }
  return outcome;
}

/** Removes blocks from one tier, each by itself. */
export function removeBlocks(rank: u32, tier: u32, count: u32, ids: usize): u32 {
  sweep(SWEEP_BASE + SWEEP_PER_BLOCK * count);
  const state = stateOf(rank);
  if (state != 0) glanceAtRemoves(state, count, ids, ids + (<usize>count << 3), ids + (<usize>count << 4));
  let outcome = CHANGED;
  for (let i: u32 = 0; i < count; i++) {
    const id = load<u64>(ids + (<usize>i << 3));
    const residence: usize = state == 0 ? 0 : find(state, id, hashOf(id));
    if (residence == 0 || ((tiersOf(residence) >> tier) & 1) == 0) {
      outcome = BLOCK_NOT_FOUND;
      continue;
    }
    leave(state, residence, tier);
    release(state, residence);
  }
  return outcome;
}

/** Brings into the cache what a store needs: residences that exist, or else blocks; `room` is for addresses. */
function glanceAtStores(state: usize, count: u32, ids: usize, sequence: usize, room: usize): void {
  glance(state, ids, count, room);
  let missing: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const residence = load<u32>(room + (<usize>i << 2));
    if (residence == 0) missing++;
    else seen ^= sequenceOf(blockOf(residence));
  }
  if (missing == 0) return;
  glanceAtBlocks(sequence, count, room);
  glanceAtSplits(state, missing);
  glanceAtBlockSplits(missing);
}

/** Brings into the cache what a remove needs; `hashes` and `room` are for sequence hashes and addresses. */
function glanceAtRemoves(state: usize, count: u32, ids: usize, hashes: usize, room: usize): void {
  glance(state, ids, count, room);
  for (let i: u32 = 0; i < count; i++) {
    const residence = load<u32>(room + (<usize>i << 2));
    store<u64>(hashes + (<usize>i << 3), residence == 0 ? 0 : sequenceOf(blockOf(residence)));
  }
  glanceAtBlocks(hashes, count, room);
}

function contains(ids: usize, count: u32, id: u64): bool {
  let found = false;
  for (let i: u32 = 0; i < count; i++) found = found || load<u64>(ids + (<usize>i << 3)) == id;
  return found;
}

function outOfMemory(): u32 {
  return wasRefused() ? ALLOCATION_FAILED : CAPACITY_EXHAUSTED;
}
