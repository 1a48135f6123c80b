/**
 * What every rank holds of a prompt.
 *
 * Device depths: a rank without holes holds a block only if it holds all before it, so the set of holders shrinks
 * along the prompt, and halving finds where: two positions with equal sets have nothing to tell in between. Spans
 * are halved in batches, since the cache misses of their middles then overlap. Ranks with holes are followed block
 * by block, and so are the lower tiers.
 */

import { give, take } from './arena';
import { findBlock, glanceAtBlocks, holdersOf } from './block';
import { holds, intersect } from './holders';
import { holed, holderWords, live, lowered, rankCapacity, rankOfHolder } from './rank';
import { hashOf } from './bucket';

const TIERS: u32 = 4;
const UNKNOWN: u32 = 0xffffffff;
/** Spans halved at a time. */
const BATCH: u32 = 16;
/** Spans that may wait: those of a batch at each of the 32 halvings of the longest prompt. */
const WAITING: u32 = BATCH * 33;
/** Bitsets for the rest: holders of the first block without and with holes, those of the next block. */
const SPARE_SETS: u32 = 4;

/** Depth u32 by tier and rank, rank by rank within a tier. */
let depths: usize = 0;
let depthCapacity: u32 = 0;
/**
 * Spans of the prompt: first and last position u32, holders at the first and at the last as bitsets. First those of
 * the batch at hand, then those that wait; then the spare sets.
 */
let spans: usize = 0;
let spanWords: u32 = 0;
/** The hashes at the middles of a batch, and addresses that looking them up takes. */
const middles: usize = memory.data(128, 8);
const middleHashes: usize = memory.data(128, 8);
const room: usize = memory.data(64, 8);
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
  if (spanWords < holderWords) {
    const larger = take(spansBytes(holderWords));
    if (larger == 0) return false;
    if (spans != 0) give(spans, spansBytes(spanWords));
    spans = larger;
    spanWords = holderWords;
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
    const straight = spareSet(0);
    const broken = spareSet(1);
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
  const next = spareSet(2);
  for (let position: u32 = 1; ; position++) {
    const any = position < count && narrowAt(next, active, hashes, position);
    if (!any) memory.fill(next, 0, <usize>holderWords << 3);
    settle(active, next, position);
    if (!any) return;
    memory.copy(active, next, <usize>holderWords << 3);
  }
}

/** Settles the depths of the holders of the first block, who hold everything up to their depth. */
function halve(hashes: usize, count: u32, holders: usize): void {
  const none = spareSet(3);
  memory.fill(none, 0, <usize>holderWords << 3);
  let waiting: u32 = 0;
  waiting = wait(waiting, 0, count, holders, none);
  while (waiting > 0) {
    const batch = min(BATCH, waiting);
    waiting -= batch;
    memory.copy(span(0), span(BATCH + waiting), <usize>batch * spanBytes(spanWords));
    for (let i: u32 = 0; i < batch; i++) {
      store<u64>(middles + (<usize>i << 3), load<u64>(hashes + (<usize>middleOf(span(i)) << 3)));
    }
    glanceAtBlocks(middles, batch, middleHashes, room);
    for (let i: u32 = 0; i < batch; i++) waiting = part(waiting, hashes, span(i));
  }
}

/** Parts a span with different holders at its ends in the middle, and lets those halves wait that have such too. */
function part(waiting: u32, hashes: usize, span: usize): u32 {
  const first = load<u32>(span);
  const last = load<u32>(span, 4);
  const middle = middleOf(span);
  const holders = spareSet(2);
  narrowAt(holders, firstHolders(span), hashes, middle);
  if (!equal(firstHolders(span), holders)) waiting = wait(waiting, first, middle, firstHolders(span), holders);
  if (!equal(holders, lastHolders(span))) waiting = wait(waiting, middle, last, holders, lastHolders(span));
  return waiting;
}

/** Lets a span wait, unless there is nothing in between: then its holders part at its last position. */
function wait(waiting: u32, first: u32, last: u32, atFirst: usize, atLast: usize): u32 {
  if (last == first + 1) {
    settle(atFirst, atLast, last);
    return waiting;
  }
  const to = span(BATCH + waiting);
  store<u32>(to, first);
  store<u32>(to, last, 4);
  memory.copy(firstHolders(to), atFirst, <usize>holderWords << 3);
  memory.copy(lastHolders(to), atLast, <usize>holderWords << 3);
  return waiting + 1;
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
function spanBytes(words: u32): usize {
  return 8 + (<usize>words << 4);
}

@inline
function spansBytes(words: u32): usize {
  return <usize>(BATCH + WAITING) * spanBytes(words) + <usize>SPARE_SETS * (<usize>words << 3);
}

@inline
function span(i: u32): usize {
  return spans + <usize>i * spanBytes(spanWords);
}

@inline
function middleOf(span: usize): u32 {
  return (load<u32>(span) + load<u32>(span, 4)) >> 1;
}

@inline
function firstHolders(span: usize): usize {
  return span + 8;
}

@inline
function lastHolders(span: usize): usize {
  return span + 8 + (<usize>spanWords << 3);
}

@inline
function spareSet(i: u32): usize {
  return span(BATCH + WAITING) + (<usize>(i * spanWords) << 3);
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
