/**
 * Ranks and the holders that stand for them in blocks. A rank that is cleared lets its state go at once; the state
 * is then swept bit by bit (`sweep.ts`), and its holder is not given to another before that is done. Matches
 * ignore holders that stand for no rank.
 *
 * State: table of residences by id, then the fields below.
 */

import { give, take } from './arena';
import { clearBit, HOLDERS_PER_WORD, MAX_HOLDERS, setBit } from './holders';
import { closeTable, openTable, TABLE_BYTES } from './table';

const HOLDER: usize = TABLE_BYTES;
/** Ids that are resident in some tier. */
const RESIDENTS: usize = TABLE_BYTES + 4;
/** Residences that the device lost while it holds children of theirs: above 0, depths are not monotonous. */
const HOLES: usize = TABLE_BYTES + 8;
/** Residences in tiers below the device. */
const LOWERED: usize = TABLE_BYTES + 12;
/** Residences of a block and tier beyond the first one. */
const ALIASES: usize = TABLE_BYTES + 16;
const RANK: usize = TABLE_BYTES + 20;
/** The next bucket to look at when sweeping or evicting. */
const HAND: usize = TABLE_BYTES + 24;
const NEXT_CLEARED: usize = TABLE_BYTES + 28;
/** Residents that had to make room, which the rank still has. */
const EVICTED: usize = TABLE_BYTES + 32;
const STATE_BYTES: usize = TABLE_BYTES + 40;

export const NO_RANK: u32 = 0xffffffff;

/** By rank: its state, or 0. */
let states: usize = 0;
export let rankCapacity: u32 = 0;
/** By holder: its rank, or NO_RANK. */
let ranks: usize = 0;
/** Bits by holder: taken; stands for a rank; has holes; holds something below the device. */
let taken: usize = 0;
export let live: usize = 0;
export let holed: usize = 0;
export let lowered: usize = 0;
/** Words of each of those bitsets. */
export let holderWords: u32 = 0;

/** The cleared states that are not swept yet, linked. */
export let firstCleared: usize = 0;
/** Residents of all ranks. */
export let residents: u32 = 0;

@inline
export function stateOf(rank: u32): usize {
  return rank < rankCapacity ? <usize>load<u32>(states + (rank << 2)) : 0;
}

@inline
export function holderOf(state: usize): u32 {
  return load<u32>(state, HOLDER);
}

@inline
export function rankOfHolder(holder: u32): u32 {
  return load<u32>(ranks + (holder << 2));
}

@inline
export function isCleared(state: usize): bool {
  return load<u32>(state, RANK) == NO_RANK;
}

@inline
export function residentsOf(state: usize): u32 {
  return load<u32>(state, RESIDENTS);
}

@inline
export function evictedOf(state: usize): u32 {
  return load<u32>(state, EVICTED);
}

@inline
export function addEvicted(state: usize): void {
  store<u32>(state, evictedOf(state) + 1, EVICTED);
}

@inline
export function aliasesOf(state: usize): u32 {
  return load<u32>(state, ALIASES);
}

@inline
export function addAliases(state: usize, change: i32): void {
  store<u32>(state, load<u32>(state, ALIASES) + change, ALIASES);
}

@inline
export function handOf(state: usize): u32 {
  return load<u32>(state, HAND);
}

@inline
export function setHand(state: usize, bucket: u32): void {
  store<u32>(state, bucket, HAND);
}

export function addResidents(state: usize, change: i32): void {
  store<u32>(state, load<u32>(state, RESIDENTS) + change, RESIDENTS);
  if (!isCleared(state)) residents += change;
}

export function addHoles(state: usize, change: i32): void {
  const holes = load<u32>(state, HOLES) + change;
  store<u32>(state, holes, HOLES);
  if (holes > 0) setBit(holed, holderOf(state));
  else clearBit(holed, holderOf(state));
}

export function addLowered(state: usize, change: i32): void {
  const count = load<u32>(state, LOWERED) + change;
  store<u32>(state, count, LOWERED);
  if (count > 0) setBit(lowered, holderOf(state));
  else clearBit(lowered, holderOf(state));
}

/** Makes room for ranks below a bound; false if there is no memory. */
export function widenRanks(bound: u32): bool {
  if (bound <= rankCapacity) return true;
  const capacity = max<u32>(16, roundUp(bound));
  const larger = take(<usize>capacity << 2);
  if (larger == 0) return false;
  memory.fill(larger, 0, <usize>capacity << 2);
  if (states != 0) {
    memory.copy(larger, states, <usize>rankCapacity << 2);
    give(states, <usize>rankCapacity << 2);
  }
  states = larger;
  rankCapacity = capacity;
  return true;
}

/** The state of a rank that has none; 0 if there is no memory. */
export function openRank(rank: u32): usize {
  const holder = freeHolder();
  if (holder == MAX_HOLDERS) return 0;
  const state = take(STATE_BYTES);
  if (state == 0) return 0;
  memory.fill(state, 0, STATE_BYTES);
  if (!openTable(state)) {
    give(state, STATE_BYTES);
    return 0;
  }
  store<u32>(state, holder, HOLDER);
  store<u32>(state, rank, RANK);
  store<u32>(states + (rank << 2), <u32>state);
  store<u32>(ranks + (holder << 2), rank);
  setBit(taken, holder);
  setBit(live, holder);
  return state;
}

/** Parts a rank from its state, which then waits to be swept. */
export function clearRank(rank: u32): void {
  const state = stateOf(rank);
  if (state == 0) return;
  store<u32>(states + (rank << 2), 0);
  residents -= residentsOf(state);
  store<u32>(state, NO_RANK, RANK);
  setHand(state, 0);
  store<u32>(state, <u32>firstCleared, NEXT_CLEARED);
  firstCleared = state;
  clearBit(live, holderOf(state));
  store<u32>(ranks + (holderOf(state) << 2), NO_RANK);
}

/** Lets go of the first cleared state, which holds nothing any more. */
export function closeFirstCleared(): void {
  const state = firstCleared;
  firstCleared = load<u32>(state, NEXT_CLEARED);
  const holder = holderOf(state);
  clearBit(taken, holder);
  clearBit(holed, holder);
  clearBit(lowered, holder);
  closeTable(state);
  give(state, STATE_BYTES);
}

/** The lowest holder that is free, since low ones make small sets; MAX_HOLDERS if there is no memory. */
function freeHolder(): u32 {
  for (let i: u32 = 0; i < holderWords; i++) {
    const free = ~load<u64>(taken + (i << 3));
    if (free != 0) return (i << 6) + <u32>ctz(free);
  }
  const holder = holderWords * HOLDERS_PER_WORD;
  return holder < MAX_HOLDERS && widenHolders() ? holder : MAX_HOLDERS;
}

function widenHolders(): bool {
  const words = max<u32>(1, holderWords << 1);
  const bytes = <usize>words << 3;
  const bitsets = take(bytes << 2);
  const larger = take(<usize>words << 8);
  if (bitsets == 0 || larger == 0) {
    if (bitsets != 0) give(bitsets, bytes << 2);
    if (larger != 0) give(larger, <usize>words << 8);
    return false;
  }
  memory.fill(bitsets, 0, bytes << 2);
  if (holderWords > 0) {
    const old = <usize>holderWords << 3;
    for (let i: usize = 0; i < 4; i++) memory.copy(bitsets + i * bytes, taken + i * old, old);
    memory.copy(larger, ranks, <usize>holderWords << 8);
    give(taken, old << 2);
    give(ranks, <usize>holderWords << 8);
  }
  taken = bitsets;
  live = bitsets + bytes;
  holed = bitsets + 2 * bytes;
  lowered = bitsets + 3 * bytes;
  ranks = larger;
  holderWords = words;
  return true;
}

@inline
function roundUp(value: u32): u32 {
  return <u32>1 << (32 - clz<u32>(value - 1));
}
