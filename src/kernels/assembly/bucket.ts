/**
 * A bucket of a table: one cache line of twelve one-byte tags, the next bucket of its chain, and twelve words. A word
 * is the address of a record with a hint in its three low bits, which are zero in addresses.
 *
 * Invariants: the cells of a chain are filled without a gap, and only its first bucket may be empty; tag 0 marks a
 * free cell.
 */

import { give, take } from './arena';

export const CELLS: u32 = 12;
export const BUCKET_BYTES: usize = 64;
export const HINT_BITS: u32 = 3;
const HINT: u32 = 7;
const CELL_MASK: i32 = 0xfff;
const NEXT: usize = 12;
const RECORDS: usize = 16;

/** Buckets set aside before a split or merge, which must not fail half way. */
let spares: usize = 0;

/** The bucket after this one in its chain, or 0. */
@inline
export function nextBucket(bucket: usize): usize {
  return load<u32>(bucket, NEXT);
}

/** How many cells of a bucket are filled. */
@inline
export function filledCells(bucket: usize): u32 {
  return <u32>ctz(cellsWithTag(bucket, 0) | (1 << CELLS));
}

@inline
export function recordAt(bucket: usize, cell: u32): usize {
  return wordAt(bucket, cell) & ~HINT;
}

@inline
export function cellsWithTag(bucket: usize, tag: u8): i32 {
  return i8x16.bitmask(i8x16.eq(v128.load(bucket), i8x16.splat(tag))) & CELL_MASK;
}

/** A record's address with its hint. */
@inline
export function wordAt(bucket: usize, cell: u32): u32 {
  return load<u32>(bucket + (cell << 2), RECORDS);
}

@inline
export function fillCell(bucket: usize, cell: u32, tag: u8, word: u32): void {
  store<u8>(bucket + cell, tag);
  store<u32>(bucket + (cell << 2), word, RECORDS);
}

@inline
export function lastBucket(chain: usize): usize {
  let bucket = chain;
  for (let next = nextBucket(bucket); next != 0; next = nextBucket(bucket)) bucket = next;
  return bucket;
}

export function lengthOf(chain: usize): u32 {
  let length: u32 = 0;
  for (let bucket = chain; bucket != 0; bucket = nextBucket(bucket)) length++;
  return length;
}

export function append(chain: usize, tag: u8, word: u32): bool {
  let bucket = lastBucket(chain);
  let cell = filledCells(bucket);
  if (cell == CELLS) {
    bucket = chainOn(bucket);
    if (bucket == 0) return false;
    cell = 0;
  }
  fillCell(bucket, cell, tag, word);
  return true;
}

/** A new bucket behind the last one of a chain; 0 if there is no memory. */
export function chainOn(last: usize): usize {
  const fresh = takeBucket();
  if (fresh != 0) store<u32>(last, <u32>fresh, NEXT);
  return fresh;
}

/** Fills the cell with the last one of its chain. */
export function removeCell(chain: usize, bucket: usize, cell: u32): void {
  let before: usize = 0;
  let last = chain;
  for (let next = nextBucket(last); next != 0; next = nextBucket(last)) {
    before = last;
    last = next;
  }
  const end = filledCells(last) - 1;
  fillCell(bucket, cell, load<u8>(last + end), wordAt(last, end));
  store<u8>(last + end, 0);
  if (end > 0 || before == 0) return;
  store<u32>(before, 0, NEXT);
  give(last, BUCKET_BYTES);
}

/** Ends a chain behind so many cells of a bucket of it. */
export function truncate(bucket: usize, cells: u32): void {
  for (let rest = nextBucket(bucket); rest != 0; ) {
    const next = nextBucket(rest);
    give(rest, BUCKET_BYTES);
    rest = next;
  }
  store<u32>(bucket, 0, NEXT);
  for (let cell = cells; cell < CELLS; cell++) store<u8>(bucket + cell, 0);
}

/** Reads the records of a bucket; without a branch, so that their cache misses overlap. */
export function renewHints(bucket: usize, cells: u32, round: u32): void {
  for (let cell: u32 = 0; cell < cells; cell++) {
    const record = recordAt(bucket, cell);
    store<u32>(bucket + (cell << 2), <u32>record | hintOf(hashOf(load<u64>(record)), round), RECORDS);
  }
}

@inline
export function hintOf(hash: u64, round: u32): u32 {
  return <u32>(hash >> (round - (round % HINT_BITS))) & HINT;
}

@inline
export function tagOf(hash: u64): u8 {
  return <u8>max(1, <u32>(hash >> 56));
}

/** What a table needs of a key: the finaliser of murmur3 for 64 bits (Appleby), as ids may be small numbers. */
@inline
export function hashOf(key: u64): u64 {
  let x = (key ^ (key >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

export function takeBucket(): usize {
  let bucket = spares;
  if (bucket != 0) spares = load<u32>(bucket);
  else bucket = take(BUCKET_BYTES);
  if (bucket != 0) clearBucket(bucket);
  return bucket;
}

@inline
export function clearBucket(bucket: usize): void {
  v128.store(bucket, i64x2(0, 0));
}

export function reserve(buckets: u32): bool {
  for (let i: u32 = 0; i < buckets; i++) {
    const bucket = take(BUCKET_BYTES);
    if (bucket == 0) return false;
    store<u32>(bucket, <u32>spares);
    spares = bucket;
  }
  return true;
}

export function releaseSpares(): void {
  while (spares != 0) {
    const bucket = spares;
    spares = load<u32>(bucket);
    give(bucket, BUCKET_BYTES);
  }
}
