/**
 * A residence: what one id of one rank names, and in which tiers. It outlives its last tier while descendants are
 * there, whose path to the root leads over it.
 *
 * Record: id u64, block u32, parent residence u32 (0: root), number of children u32, state u32. The state has the
 * tiers in bits 0 to 3, RECENT, DETACHED, and in the rest the number of children on the device.
 *
 * Invariants: a residence is in its rank's table unless it is detached; a rank's holes are its residences that are
 * not on the device while children of theirs are.
 */

import { addAlias, removeAlias } from './alias';
import { give, takeRecord } from './arena';
import { findBlock, hold, isHeldBy, makeBlock, referTo, sequenceOf, unhold, unrefer } from './block';
import { evictSome } from './evict';
import {
  addAliases,
  addHoles,
  addLowered,
  addResidents,
  aliasesOf,
  holderOf,
  isCleared,
} from './rank';
import { hashOf } from './bucket';
import { insert, remove } from './table';

const BLOCK: usize = 8;
const PARENT: usize = 12;
const CHILDREN: usize = 16;
const STATE: usize = 20;
const RESIDENCE_BYTES: usize = 24;

const DEVICE: u32 = 1;
const TIERS: u32 = 0xf;
/** Stored since the eviction hand came by last. */
const RECENT: u32 = 0x10;
/** The id names another block by now. */
const DETACHED: u32 = 0x20;
const DEVICE_CHILD: u32 = 0x40;

@inline
export function blockOf(residence: usize): usize {
  return load<u32>(residence, BLOCK);
}

@inline
export function tiersOf(residence: usize): u32 {
  return load<u32>(residence, STATE) & TIERS;
}

@inline
export function isLeaf(residence: usize): bool {
  return load<u32>(residence, CHILDREN) == 0;
}

@inline
export function touch(residence: usize): void {
  store<u32>(residence, load<u32>(residence, STATE) | RECENT, STATE);
}

/** Whether it was touched since the last time this was asked. */
export function takeTouch(residence: usize): bool {
  const state = load<u32>(residence, STATE);
  store<u32>(residence, state & ~RECENT, STATE);
  return (state & RECENT) != 0;
}

/** A residence in no tier yet, whose parent is pinned already; 0 if there is no memory even after evicting. */
export function makeResidence(
  state: usize,
  id: u64,
  idHash: u64,
  sequence: u64,
  local: u64,
  parent: usize,
): usize {
  const sequenceHash = hashOf(sequence);
  let block = findBlock(sequence, sequenceHash);
  while (block == 0) {
    block = makeBlock(sequence, local, sequenceHash);
    if (block == 0 && !evictSome()) return 0;
  }
  // From here on evicting other residences must not take the block away.
  referTo(block);
  let residence = takeRecord(RESIDENCE_BYTES);
  while (residence == 0) {
    if (!evictSome()) {
      unrefer(block);
      return 0;
    }
    residence = takeRecord(RESIDENCE_BYTES);
  }
  store<u64>(residence, id);
  store<u32>(residence, <u32>block, BLOCK);
  store<u32>(residence, <u32>parent, PARENT);
  store<u32>(residence, 0, CHILDREN);
  store<u32>(residence, 0, STATE);
  while (!insert(state, residence, idHash)) {
    if (evictSome()) continue;
    give(residence, RESIDENCE_BYTES);
    unrefer(block);
    return 0;
  }
  return residence;
}

/** Counts a child, which also keeps the residence from being evicted or released. */
@inline
export function pin(residence: usize): void {
  if (residence != 0) store<u32>(residence, load<u32>(residence, CHILDREN) + 1, CHILDREN);
}

export function unpin(state: usize, residence: usize): void {
  if (residence == 0) return;
  store<u32>(residence, load<u32>(residence, CHILDREN) - 1, CHILDREN);
  release(state, residence);
}

/** Puts a residence into a tier where it is not; false if there is no memory even after evicting. */
export function enter(state: usize, residence: usize, tier: u32): bool {
  const block = blockOf(residence);
  const holder = holderOf(state);
  if (isHeldBy(block, tier, holder)) {
    while (!addAlias(holder, block, tier)) if (!evictSome()) return false;
    addAliases(state, 1);
  } else {
    while (!hold(block, tier, holder)) if (!evictSome()) return false;
  }
  const before = load<u32>(residence, STATE);
  store<u32>(residence, before | (1 << tier), STATE);
  if ((before & TIERS) == 0) addResidents(state, 1);
  if (tier > 0) {
    addLowered(state, 1);
    return true;
  }
  if (before >= DEVICE_CHILD) addHoles(state, -1);
  const parent = <usize>load<u32>(residence, PARENT);
  if (parent == 0) return true;
  const above = load<u32>(parent, STATE);
  store<u32>(parent, above + DEVICE_CHILD, STATE);
  if (above < DEVICE_CHILD && (above & DEVICE) == 0) addHoles(state, 1);
  return true;
}

/** Takes a residence out of a tier where it is. The caller releases it when it is in none. */
export function leave(state: usize, residence: usize, tier: u32): void {
  const block = blockOf(residence);
  const holder = holderOf(state);
  if (aliasesOf(state) > 0 && removeAlias(holder, block, tier)) addAliases(state, -1);
  else unhold(block, tier, holder);
  const after = load<u32>(residence, STATE) & ~(1 << tier);
  store<u32>(residence, after, STATE);
  if ((after & TIERS) == 0) addResidents(state, -1);
  if (tier > 0) {
    addLowered(state, -1);
    return;
  }
  if (after >= DEVICE_CHILD) addHoles(state, 1);
  const parent = <usize>load<u32>(residence, PARENT);
  if (parent == 0) return;
  const above = load<u32>(parent, STATE) - DEVICE_CHILD;
  store<u32>(parent, above, STATE);
  if (above < DEVICE_CHILD && (above & DEVICE) == 0) addHoles(state, -1);
}

export function leaveAll(state: usize, residence: usize): void {
  for (let tier: u32 = 0; tier < 4; tier++) if ((tiersOf(residence) >> tier) & 1) leave(state, residence, tier);
}

/** Ends a residence whose id is about to name another block. */
export function detach(state: usize, residence: usize): void {
  leaveAll(state, residence);
  remove(state, residence, !isCleared(state));
  store<u32>(residence, load<u32>(residence, STATE) | DETACHED, STATE);
  release(state, residence);
}

/** Lets go of a residence that is in no tier and has no children, and of ancestors that were there for it only. */
export function release(state: usize, residence: usize): void {
  let at = residence;
  while (at != 0 && isLeaf(at) && tiersOf(at) == 0) {
    const parent = <usize>load<u32>(at, PARENT);
    if ((load<u32>(at, STATE) & DETACHED) == 0) remove(state, at, !isCleared(state));
    unrefer(blockOf(at));
    give(at, RESIDENCE_BYTES);
    if (parent != 0) store<u32>(parent, load<u32>(parent, CHILDREN) - 1, CHILDREN);
    at = parent;
  }
}

@inline
export function names(residence: usize, sequence: u64): bool {
  return sequenceOf(blockOf(residence)) == sequence;
}
