/**
 * What every rank holds of a prompt.
 *
 * Device depths: a rank without holes holds a block only if it holds all before it, so the set of holders shrinks
 * along the prompt, and halving finds where: two positions with equal sets have nothing to tell in between. Ranks
 * with holes are followed block by block, and so are the lower tiers.
 */

import { give, take } from './arena';
import { findBlock, holdersOf } from './block';
import { hashOf } from './table';
import { holds, intersect } from './holders';
import { holed, holderWords, live, lowered, rankCapacity, rankOfHolder } from './rank';

const TIERS: u32 = 4;
const UNKNOWN: u32 = 0xffffffff;
/** Positions yet to settle: at most one for each halving of a prompt, and its ends. */
const FRAMES: u32 = 36;

/** Depth u32 by tier and rank, rank by rank within a tier. */
let depths: usize = 0;
let depthCapacity: u32 = 0;
/** Frames: position u32 and the holders there as a bitset; then three more bitsets. */
let frames: usize = 0;
let frameWords: u32 = 0;
/** The blocks at positions, where the lower tiers looked already. */
let seen: usize = 0;
let seenCapacity: u32 = 0;

export function depthsAt(): usize {
  return depths;
}

/** Takes the scratch memory that the next match needs; false if there is none. */
export function prepareMatch(count: u32): bool {
  if (depthCapacity < rankCapacity) {
    const larger = take(<usize>rankCapacity << 4);
    if (larger == 0) return false;
    if (depths != 0) give(depths, <usize>depthCapacity << 4);
    depths = larger;
    depthCapacity = rankCapacity;
  }
  if (frameWords < holderWords) {
    const larger = take(frameBytes(holderWords) * (FRAMES + 3));
    if (larger == 0) return false;
    if (frames != 0) give(frames, frameBytes(frameWords) * (FRAMES + 3));
    frames = larger;
    frameWords = holderWords;
  }
  if (seenCapacity < count) {
    const capacity = max<u32>(1024, (<u32>1) << (32 - clz<u32>(count - 1)));
    const larger = take(<usize>capacity << 2);
    if (larger == 0) return false;
    if (seen != 0) give(seen, <usize>seenCapacity << 2);
    seen = larger;
    seenCapacity = capacity;
  }
  return true;
}

/** Fills the depths of a prompt with these sequence hashes. */
export function matchBlocks(hashes: usize, count: u32): void {
  memory.fill(depths, 0, <usize>rankCapacity << 4);
  if (count == 0 || holderWords == 0) return;
  const first = blockAt(hashes, 0);
  if (first != 0) {
    const straight = frame(FRAMES);
    const broken = frame(FRAMES + 1);
    if (intersect(straight, live, holdersOf(first, 0), holderWords)) {
      if (partHoled(straight, broken)) scan(hashes, count, broken);
      halve(hashes, count, straight);
    }
  }
  if (anyOf(lowered)) matchLower(hashes, count);
}

/** Moves the holders with holes from one set to another; whether there are any. */
function partHoled(straight: usize, broken: usize): bool {
  let any: u64 = 0;
  for (let i: u32 = 0; i < holderWords; i++) {
    const at: usize = i << 3;
    const word = load<u64>(straight + at);
    const withHoles = word & load<u64>(holed + at);
    store<u64>(broken + at, withHoles);
    store<u64>(straight + at, word & ~withHoles);
    any |= withHoles;
  }
  return any != 0;
}

/** Follows the holders of the first block along the prompt, until none is left. */
function scan(hashes: usize, count: u32, active: usize): void {
  const next = frame(FRAMES + 2);
  for (let position: u32 = 1; ; position++) {
    const any = position < count && narrowAt(next, active, hashes, position);
    if (!any) memory.fill(next, 0, <usize>holderWords << 3);
    settle(active, next, position);
    if (!any) return;
    memory.copy(active, next, <usize>holderWords << 3);
  }
}

/** Settles the depths of the holders of the first block, who hold everything up to their depth. */
function halve(hashes: usize, count: u32, active: usize): void {
  let low: u32 = 0;
  let top: u32 = 0;
  setPosition(0, count);
  memory.fill(frame(0), 0, <usize>holderWords << 3);
  while (anyOf(active)) {
    const high = positionOf(top);
    if (high > low + 1 && !equal(active, frame(top))) {
      const middle = (low + high) >> 1;
      top++;
      setPosition(top, middle);
      narrowAt(frame(top), active, hashes, middle);
      continue;
    }
    settle(active, frame(top), high);
    memory.copy(active, frame(top), <usize>holderWords << 3);
    low = high;
    top--;
  }
}

/** target = those of `active` that hold the block at a position of the prompt; whether there are any. */
function narrowAt(target: usize, active: usize, hashes: usize, position: u32): bool {
  const block = blockAt(hashes, position);
  return intersect(target, active, block == 0 ? 0 : holdersOf(block, 0), holderWords);
}

/** Gives that depth to the holders of one set that are not in the other. */
function settle(active: usize, remaining: usize, depth: u32): void {
  for (let i: u32 = 0; i < holderWords; i++) {
    const at: usize = i << 3;
    for (let bits = load<u64>(active + at) & ~load<u64>(remaining + at); bits != 0; bits &= bits - 1) {
      const rank = rankOfHolder((i << 6) + <u32>ctz(bits));
      store<u32>(depths + (<usize>rank << 2), depth);
    }
  }
}

/** Walks host, disk and external on from where the tier before ended, for each rank that holds any of them. */
function matchLower(hashes: usize, count: u32): void {
  memory.fill(seen, 0xff, <usize>count << 2);
  for (let i: u32 = 0; i < holderWords; i++) {
    const at: usize = i << 3;
    for (let bits = load<u64>(lowered + at) & load<u64>(live + at); bits != 0; bits &= bits - 1) {
      const holder = (i << 6) + <u32>ctz(bits);
      const cell = depths + (<usize>rankOfHolder(holder) << 2);
      let position = load<u32>(cell);
      for (let tier: u32 = 1; tier < TIERS; tier++) {
        const from = position;
        while (position < count && holds(lowerHoldersAt(hashes, position, tier), holder)) position++;
        store<u32>(cell + <usize>tier * (<usize>rankCapacity << 2), position - from);
      }
    }
  }
}

function lowerHoldersAt(hashes: usize, position: u32, tier: u32): u64 {
  const memo = seen + (<usize>position << 2);
  let block = load<u32>(memo);
  if (block == UNKNOWN) {
    block = <u32>blockAt(hashes, position);
    store<u32>(memo, block);
  }
  return block == 0 ? 0 : holdersOf(block, tier);
}

@inline
function blockAt(hashes: usize, position: u32): usize {
  const sequence = load<u64>(hashes + (<usize>position << 3));
  return findBlock(sequence, hashOf(sequence));
}

@inline
function frameBytes(words: u32): usize {
  return 8 + (<usize>words << 3);
}

@inline
function frame(i: u32): usize {
  return frames + <usize>i * frameBytes(frameWords) + 8;
}

@inline
function positionOf(i: u32): u32 {
  return load<u32>(frame(i) - 8);
}

@inline
function setPosition(i: u32, position: u32): void {
  store<u32>(frame(i) - 8, position);
}

function anyOf(bits: usize): bool {
  let any: u64 = 0;
  for (let i: u32 = 0; i < holderWords; i++) any |= load<u64>(bits + (<usize>i << 3));
  return any != 0;
}

function equal(a: usize, b: usize): bool {
  let differing: u64 = 0;
  for (let i: u32 = 0; i < holderWords; i++) {
    const at: usize = i << 3;
    differing |= load<u64>(a + at) ^ load<u64>(b + at);
  }
  return differing == 0;
}
