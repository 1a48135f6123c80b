/**
 * A set of holders (small numbers that stand for ranks) in one u64 of a block. Its low two bits say how:
 * - BITMAP: one bit for each of the holders 0 to 61. Zero is the empty set;
 * - LIST: up to three holders of 20 bits each, for few holders among many;
 * - WIDE: the upper half is the address of a bitset of any width.
 */

import { give, takeRecord } from './arena';

export const MAX_HOLDERS: u32 = 0xfffff;
export const HOLDERS_PER_WORD: u32 = 64;

const BITMAP: u64 = 0;
const LIST: u64 = 1;
const WIDE: u64 = 2;
const KIND: u64 = 3;
const BITMAP_HOLDERS: u32 = 62;
const NOBODY: u64 = 0xfffff;

/** A wide set: number of words, number of holders, words. */
const WORDS: usize = 0;
const SIZE: usize = 4;
const BITS: usize = 8;

export function holds(set: u64, holder: u32): bool {
  const kind = set & KIND;
  if (kind == BITMAP) return holder < BITMAP_HOLDERS && ((set >> (holder + 2)) & 1) != 0;
  if (kind == LIST) return listShift(set, holder) != 0;
  const wide = <usize>(set >> 32);
  return holder >> 6 < load<u32>(wide, WORDS) && ((load<u64>(wordOf(wide, holder)) >> (holder & 63)) & 1) != 0;
}

/** Adds a holder that is not in the set at that address; false if there is no memory. */
export function addHolder(at: usize, holder: u32): bool {
  const set = load<u64>(at);
  const kind = set & KIND;
  if (kind == BITMAP) {
    if (holder < BITMAP_HOLDERS) {
      store<u64>(at, set | (<u64>1 << (holder + 2)));
      return true;
    }
    if (popcnt(set) < 3) {
      store<u64>(at, withHolder(listOf(set), holder));
      return true;
    }
  } else if (kind == LIST && listShift(set, <u32>NOBODY) != 0) {
    store<u64>(at, withHolder(set, holder));
    return true;
  }
  return addWide(at, set, holder);
}

/** Takes out a holder that is in the set at that address. */
export function removeHolder(at: usize, holder: u32): void {
  const set = load<u64>(at);
  const kind = set & KIND;
  if (kind == BITMAP) {
    store<u64>(at, set & ~(<u64>1 << (holder + 2)));
  } else if (kind == LIST) {
    const left = set | (NOBODY << listShift(set, holder));
    store<u64>(at, left == emptyList() ? 0 : left);
  } else {
    const wide = <usize>(set >> 32);
    const word = wordOf(wide, holder);
    store<u64>(word, load<u64>(word) & ~(<u64>1 << (holder & 63)));
    const size = load<u32>(wide, SIZE) - 1;
    store<u32>(wide, size, SIZE);
    // Below the three that a list takes, lest a set at the border changes form over and over.
    if (size <= 2) store<u64>(at, narrow(wide));
  }
}

/** target = among AND set, over so many words; whether anything is left. */
export function intersect(target: usize, among: usize, set: u64, words: u32): bool {
  const kind = set & KIND;
  if (kind == WIDE) {
    const wide = <usize>(set >> 32);
    const common = min(words, load<u32>(wide, WORDS));
    let any: u64 = 0;
    for (let i: u32 = 0; i < common; i++) {
      const word = load<u64>(among + (i << 3)) & load<u64>(wide + (i << 3), BITS);
      store<u64>(target + (i << 3), word);
      any |= word;
    }
    if (words > common) memory.fill(target + (common << 3), 0, (words - common) << 3);
    return any != 0;
  }
  if (kind == BITMAP) {
    const word = load<u64>(among) & (set >> 2);
    if (words > 1) memory.fill(target + 8, 0, (words - 1) << 3);
    store<u64>(target, word);
    return word != 0;
  }
  memory.fill(target, 0, words << 3);
  let any = false;
  for (let shift: u64 = 2; shift < 62; shift += 20) {
    const holder = <u32>((set >> shift) & NOBODY);
    if (holder == <u32>NOBODY || !hasBit(among, holder)) continue;
    setBit(target, holder);
    any = true;
  }
  return any;
}

@inline
export function hasBit(bits: usize, holder: u32): bool {
  return ((load<u64>(bits + ((holder >> 6) << 3)) >> (holder & 63)) & 1) != 0;
}

@inline
export function setBit(bits: usize, holder: u32): void {
  const word = bits + ((holder >> 6) << 3);
  store<u64>(word, load<u64>(word) | (<u64>1 << (holder & 63)));
}

@inline
export function clearBit(bits: usize, holder: u32): void {
  const word = bits + ((holder >> 6) << 3);
  store<u64>(word, load<u64>(word) & ~(<u64>1 << (holder & 63)));
}

/** Where a holder stands in a list, or 0. */
@inline
function listShift(set: u64, holder: u32): u64 {
  for (let shift: u64 = 2; shift < 62; shift += 20) if (<u32>((set >> shift) & NOBODY) == holder) return shift;
  return 0;
}

@inline
function emptyList(): u64 {
  return (<u64>-1 & ~KIND) | LIST;
}

function withHolder(list: u64, holder: u32): u64 {
  const shift = listShift(list, <u32>NOBODY);
  return (list & ~(NOBODY << shift)) | (<u64>holder << shift);
}

/** The list of the holders of a bitmap that has at most three. */
function listOf(bitmap: u64): u64 {
  let list = emptyList();
  for (let bits = bitmap >> 2; bits != 0; bits &= bits - 1) list = withHolder(list, <u32>ctz(bits));
  return list;
}

@inline
function wordOf(wide: usize, holder: u32): usize {
  return wide + BITS + ((holder >> 6) << 3);
}

function addWide(at: usize, set: u64, holder: u32): bool {
  const needed = max<u32>((holder >> 6) + 1, 1);
  let wide: usize = 0;
  if ((set & KIND) == WIDE) {
    wide = <usize>(set >> 32);
    if (needed > load<u32>(wide, WORDS)) wide = widen(wide, needed);
  } else {
    wide = spread(set, needed);
  }
  if (wide == 0) return false;
  store<u64>(at, (<u64>wide << 32) | WIDE);
  setBit(wide + BITS, holder);
  store<u32>(wide, load<u32>(wide, SIZE) + 1, SIZE);
  return true;
}

/** An empty wide set of at least so many words: as many as fill its piece of memory. */
function newWide(words: u32): usize {
  const bytes = pieceOf(words);
  const wide = takeRecord(bytes);
  if (wide == 0) return 0;
  memory.fill(wide, 0, bytes);
  store<u32>(wide, <u32>((bytes - BITS) >> 3), WORDS);
  return wide;
}

function giveWide(wide: usize): void {
  give(wide, BITS + (<usize>load<u32>(wide, WORDS) << 3));
}

/** Bytes of the piece for so many words, see `arena.ts`. */
function pieceOf(words: u32): usize {
  const bytes = BITS + (<usize>words << 3);
  if (bytes <= 32) return (bytes + 15) & ~15;
  return max<usize>(64, <usize>1 << (32 - <usize>clz<u32>(<u32>bytes - 1)));
}

function widen(wide: usize, words: u32): usize {
  const larger = newWide(words);
  if (larger == 0) return 0;
  store<u32>(larger, load<u32>(wide, SIZE), SIZE);
  memory.copy(larger + BITS, wide + BITS, <usize>load<u32>(wide, WORDS) << 3);
  giveWide(wide);
  return larger;
}

/** The wide form of a bitmap or a list, with room for so many words. */
function spread(set: u64, words: u32): usize {
  let highest: u32 = 0;
  if ((set & KIND) == LIST) {
    for (let shift: u64 = 2; shift < 62; shift += 20) highest = max(highest, <u32>((set >> shift) & NOBODY));
  }
  const wide = newWide(max(words, (highest >> 6) + 1));
  if (wide == 0) return 0;
  if ((set & KIND) == BITMAP) {
    store<u64>(wide, set >> 2, BITS);
    store<u32>(wide, <u32>popcnt(set), SIZE);
  } else {
    for (let shift: u64 = 2; shift < 62; shift += 20) setBit(wide + BITS, <u32>((set >> shift) & NOBODY));
    store<u32>(wide, 3, SIZE);
  }
  return wide;
}

/** Gives a wide set of at most two holders back and returns them as a list, or as a bitmap if it can. */
function narrow(wide: usize): u64 {
  const words = load<u32>(wide, WORDS);
  const first = load<u64>(wide, BITS);
  let list = emptyList();
  let beyond = first >> BITMAP_HOLDERS != 0;
  for (let i: u32 = 0; i < words; i++) {
    const word = load<u64>(wide + (i << 3), BITS);
    if (i > 0 && word != 0) beyond = true;
    for (let bits = word; bits != 0; bits &= bits - 1) list = withHolder(list, (i << 6) + <u32>ctz(bits));
  }
  giveWide(wide);
  return beyond ? list : first << 2;
}
