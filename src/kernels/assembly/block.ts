/**
 * A block: one prefix, named by its sequence hash, with the set of its holders in each tier. It lives as long as a
 * residence refers to it.
 *
 * Record: sequence hash u64, local hash u64, device holders u64, address of the lower tiers' holders u32 (0: none),
 * number of referring residences u32. Lower tiers: holders of host, disk and external, u64 each.
 */

import { give, take, takeRecord } from './arena';
import { addHolder, holds, removeHolder } from './holders';
import { find, glance, glanceAtSplits, insert, openTable, remove } from './table';

const SEQUENCE: usize = 0;
const LOCAL: usize = 8;
const DEVICE: usize = 16;
const LOWER: usize = 24;
const REFERENCES: usize = 28;
const BLOCK_BYTES: usize = 32;
const LOWER_BYTES: usize = 24;

const blocks: usize = memory.data(24, 8);

/** Blocks with a holder. */
export let heldBlocks: u32 = 0;

export function openBlocks(): bool {
  heldBlocks = 0;
  return openTable(blocks);
}

@inline
export function findBlock(sequence: u64, hash: u64): usize {
  return find(blocks, sequence, hash);
}

/** Looks up the blocks of a batch without waiting, see `glance`. */
export function glanceAtBlocks(sequence: usize, count: u32, hashes: usize, found: usize): void {
  glance(blocks, sequence, count, hashes, found);
}

export function glanceAtBlockSplits(inserts: u32): void {
  glanceAtSplits(blocks, inserts);
}

@inline
export function sequenceOf(block: usize): u64 {
  return load<u64>(block, SEQUENCE);
}

/** The holders of a block in a tier, as a set of `holders.ts`. */
@inline
export function holdersOf(block: usize, tier: u32): u64 {
  if (tier == 0) return load<u64>(block, DEVICE);
  const lower = <usize>load<u32>(block, LOWER);
  return lower == 0 ? 0 : load<u64>(lower + ((tier - 1) << 3));
}

/** A new block without references, which the caller must add to the table; 0 if there is no memory. */
export function makeBlock(sequence: u64, local: u64, hash: u64): usize {
  const block = takeRecord(BLOCK_BYTES);
  if (block == 0) return 0;
  store<u64>(block, sequence, SEQUENCE);
  store<u64>(block, local, LOCAL);
  store<u64>(block, 0, DEVICE);
  store<u32>(block, 0, LOWER);
  store<u32>(block, 0, REFERENCES);
  if (insert(blocks, block, hash)) return block;
  give(block, BLOCK_BYTES);
  return 0;
}

@inline
export function referTo(block: usize): void {
  store<u32>(block, load<u32>(block, REFERENCES) + 1, REFERENCES);
}

export function unrefer(block: usize): void {
  const references = load<u32>(block, REFERENCES) - 1;
  store<u32>(block, references, REFERENCES);
  if (references > 0) return;
  remove(blocks, block, true);
  give(block, BLOCK_BYTES);
}

/** Adds a holder to a tier where it is not; false if there is no memory. */
export function hold(block: usize, tier: u32, holder: u32): bool {
  const wasHeld = isHeld(block);
  if (tier > 0 && load<u32>(block, LOWER) == 0) {
    const lower = takeRecord(LOWER_BYTES);
    if (lower == 0) return false;
    memory.fill(lower, 0, LOWER_BYTES);
    store<u32>(block, <u32>lower, LOWER);
  }
  if (!addHolder(setAt(block, tier), holder)) {
    trim(block);
    return false;
  }
  if (!wasHeld) heldBlocks++;
  return true;
}

/** Takes a holder out of a tier where it is. */
export function unhold(block: usize, tier: u32, holder: u32): void {
  removeHolder(setAt(block, tier), holder);
  trim(block);
  if (!isHeld(block)) heldBlocks--;
}

@inline
export function isHeldBy(block: usize, tier: u32, holder: u32): bool {
  return holds(holdersOf(block, tier), holder);
}

@inline
function setAt(block: usize, tier: u32): usize {
  return tier == 0 ? block + DEVICE : <usize>load<u32>(block, LOWER) + ((tier - 1) << 3);
}

@inline
function isHeld(block: usize): bool {
  return load<u64>(block, DEVICE) != 0 || load<u32>(block, LOWER) != 0;
}

/** Gives the lower tiers' sets back when all are empty. */
function trim(block: usize): void {
  const lower = <usize>load<u32>(block, LOWER);
  if (lower == 0 || (load<u64>(lower) | load<u64>(lower, 8) | load<u64>(lower, 16)) != 0) return;
  give(lower, LOWER_BYTES);
  store<u32>(block, 0, LOWER);
}
