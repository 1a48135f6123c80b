/**
 * A set of records found by their first eight bytes, as a linear hash table (Litwin): buckets of twelve cells split
 * one by one as records come and merge one by one as they go, so that no operation pays for all of them. A bucket
 * is one cache line: twelve one-byte tags, the next bucket of its chain, twelve addresses of records.
 *
 * Invariants: the cells of a chain are filled without a gap, and only its first bucket may be empty; a record's
 * bucket is given by the low bits of its key's hash, its tag by the high ones; tag 0 marks a free cell.
 */

import { give, take } from './arena';

export const TABLE_BYTES: usize = 24;
const COUNT: usize = 0;
const BUCKETS: usize = 4;
const MASK: usize = 8;
const DIRECTORY: usize = 12;
const SEGMENTS: usize = 16;

const CELLS: u32 = 12;
const CELL_MASK: i32 = 0xfff;
const NEXT: usize = 12;
const RECORDS: usize = 16;
const BUCKET_BYTES: usize = 64;
const SEGMENT_SHIFT: u32 = 4;
const SEGMENT_BYTES: usize = BUCKET_BYTES << 4;

/** Records per bucket, on average, above which one splits and below which one merges. */
const SPLIT_ABOVE: u32 = 9;
const MERGE_BELOW: u32 = 5;

/** Buckets set aside before a split or merge, which must not fail half way. */
let spares: usize = 0;

/** Lays out an empty table; false if there is no memory. */
export function openTable(table: usize): bool {
  const directory = take(8);
  if (directory == 0) return false;
  const segment = takeSegment();
  if (segment == 0) {
    give(directory, 8);
    return false;
  }
  store<u32>(directory, <u32>segment);
  store<u32>(table, 0, COUNT);
  store<u32>(table, 1, BUCKETS);
  store<u32>(table, 0, MASK);
  store<u32>(table, <u32>directory, DIRECTORY);
  store<u32>(table, 2, SEGMENTS);
  return true;
}

/** Gives the memory of an empty table back. */
export function closeTable(table: usize): void {
  const directory = <usize>load<u32>(table, DIRECTORY);
  const segments = (load<u32>(table, BUCKETS) + 15) >> SEGMENT_SHIFT;
  for (let i: u32 = 0; i < segments; i++) give(load<u32>(directory + (i << 2)), SEGMENT_BYTES);
  give(directory, <usize>load<u32>(table, SEGMENTS) << 2);
}

@inline
export function countOf(table: usize): u32 {
  return load<u32>(table, COUNT);
}

@inline
export function bucketsOf(table: usize): u32 {
  return load<u32>(table, BUCKETS);
}

/** The first bucket of the i-th chain. */
@inline
export function bucketAt(table: usize, i: u32): usize {
  const directory = <usize>load<u32>(table, DIRECTORY);
  return <usize>load<u32>(directory + ((i >> SEGMENT_SHIFT) << 2)) + ((i & 15) << 6);
}

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
  return load<u32>(bucket + (cell << 2), RECORDS);
}

/** The record with that key, or 0. */
export function find(table: usize, key: u64): usize {
  const hash = mix(key);
  const tag = tagOf(hash);
  let bucket = chainOf(table, hash);
  do {
    for (let cells = cellsWithTag(bucket, tag); cells != 0; cells &= cells - 1) {
      const record = recordAt(bucket, <u32>ctz(cells));
      if (load<u64>(record) == key) return record;
    }
    bucket = nextBucket(bucket);
  } while (bucket != 0);
  return 0;
}

/** Adds a record whose key is not in the table; false if there is no memory for its cell. */
export function insert(table: usize, record: usize): bool {
  const hash = mix(load<u64>(record));
  if (!append(chainOf(table, hash), tagOf(hash), record)) return false;
  const count = countOf(table) + 1;
  store<u32>(table, count, COUNT);
  if (count > bucketsOf(table) * SPLIT_ABOVE) split(table);
  return true;
}

/** Takes out a record that is in the table. Without `shrink`, all records stay in their buckets. */
export function remove(table: usize, record: usize, shrink: bool): void {
  const hash = mix(load<u64>(record));
  const tag = tagOf(hash);
  const chain = chainOf(table, hash);
  let bucket = chain;
  while (bucket != 0) {
    for (let cells = cellsWithTag(bucket, tag); cells != 0; cells &= cells - 1) {
      const cell = <u32>ctz(cells);
      if (recordAt(bucket, cell) != record) continue;
      removeCell(chain, bucket, cell);
      const count = countOf(table) - 1;
      store<u32>(table, count, COUNT);
      if (shrink && count < (bucketsOf(table) - 1) * MERGE_BELOW) merge(table);
      return;
    }
    bucket = nextBucket(bucket);
  }
}

/** Divides the records of the next chain in turn between it and a new last one; does nothing without memory. */
function split(table: usize): void {
  const fresh = bucketsOf(table);
  let mask = load<u32>(table, MASK);
  if (fresh > mask) mask = (mask << 1) | 1;
  const chain = bucketAt(table, fresh & (mask >> 1));
  if (!reserve(lengthOf(chain) - 1) || !extend(table, fresh)) return releaseSpares();
  store<u32>(table, mask, MASK);
  store<u32>(table, fresh + 1, BUCKETS);
  const target = bucketAt(table, fresh);
  let bucket = chain;
  while (bucket != 0) {
    for (let cell: u32 = 0; cell < filledCells(bucket); ) {
      const record = recordAt(bucket, cell);
      const hash = mix(load<u64>(record));
      if ((<u32>hash & mask) == fresh) {
        append(target, tagOf(hash), record);
        // Brings the chain's last cell here, which is looked at next; the last bucket may go with it.
        if (!removeCell(chain, bucket, cell)) return releaseSpares();
      } else cell++;
    }
    bucket = nextBucket(bucket);
  }
  releaseSpares();
}

/** Appends the last chain to the one that it was split from; does nothing without memory. */
function merge(table: usize): void {
  const last = bucketsOf(table) - 1;
  const mask = load<u32>(table, MASK);
  const source = bucketAt(table, last);
  const target = bucketAt(table, last & (mask >> 1));
  if (!reserve(lengthOf(source))) return releaseSpares();
  let bucket = source;
  while (bucket != 0) {
    const filled = filledCells(bucket);
    for (let cell: u32 = 0; cell < filled; cell++) append(target, load<u8>(bucket + cell), recordAt(bucket, cell));
    const next = nextBucket(bucket);
    if (bucket != source) give(bucket, BUCKET_BYTES);
    bucket = next;
  }
  clearBucket(source);
  store<u32>(table, last, BUCKETS);
  if (last << 1 == mask + 1) store<u32>(table, mask >> 1, MASK);
  if ((last & 15) == 0) give(source, SEGMENT_BYTES);
  releaseSpares();
}

/** Makes room for the bucket after the last one. */
function extend(table: usize, fresh: u32): bool {
  if ((fresh & 15) != 0) return true;
  const slot = fresh >> SEGMENT_SHIFT;
  const segments = load<u32>(table, SEGMENTS);
  let directory = <usize>load<u32>(table, DIRECTORY);
  if (slot == segments) {
    const larger = take(<usize>segments << 3);
    if (larger == 0) return false;
    memory.copy(larger, directory, <usize>segments << 2);
    give(directory, <usize>segments << 2);
    directory = larger;
    store<u32>(table, <u32>larger, DIRECTORY);
    store<u32>(table, segments << 1, SEGMENTS);
  }
  const segment = takeSegment();
  if (segment == 0) return false;
  store<u32>(directory + (slot << 2), <u32>segment);
  return true;
}

function append(chain: usize, tag: u8, record: usize): bool {
  let bucket = chain;
  for (let next = nextBucket(bucket); next != 0; next = nextBucket(bucket)) bucket = next;
  let cell = filledCells(bucket);
  if (cell == CELLS) {
    const fresh = takeBucket();
    if (fresh == 0) return false;
    store<u32>(bucket, <u32>fresh, NEXT);
    bucket = fresh;
    cell = 0;
  }
  store<u8>(bucket + cell, tag);
  store<u32>(bucket + (cell << 2), <u32>record, RECORDS);
  return true;
}

/** Fills the cell with the last one of its chain. False if that emptied and gave away the cell's own bucket. */
function removeCell(chain: usize, bucket: usize, cell: u32): bool {
  let before: usize = 0;
  let last = chain;
  for (let next = nextBucket(last); next != 0; next = nextBucket(last)) {
    before = last;
    last = next;
  }
  const end = filledCells(last) - 1;
  store<u8>(bucket + cell, load<u8>(last + end));
  store<u32>(bucket + (cell << 2), <u32>recordAt(last, end), RECORDS);
  store<u8>(last + end, 0);
  if (end > 0 || before == 0) return true;
  store<u32>(before, 0, NEXT);
  give(last, BUCKET_BYTES);
  return last != bucket;
}

@inline
function chainOf(table: usize, hash: u64): usize {
  const mask = load<u32>(table, MASK);
  const i = <u32>hash & mask;
  return bucketAt(table, i < bucketsOf(table) ? i : i & (mask >> 1));
}

@inline
function cellsWithTag(bucket: usize, tag: u8): i32 {
  return i8x16.bitmask(i8x16.eq(v128.load(bucket), i8x16.splat(tag))) & CELL_MASK;
}

@inline
function tagOf(hash: u64): u8 {
  return <u8>max(1, <u32>(hash >> 56));
}

/** Finaliser of murmur3 for 64 bits (Appleby): engines' ids may be small numbers. */
@inline
function mix(key: u64): u64 {
  let x = (key ^ (key >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

function lengthOf(chain: usize): u32 {
  let length: u32 = 0;
  for (let bucket = chain; bucket != 0; bucket = nextBucket(bucket)) length++;
  return length;
}

function takeSegment(): usize {
  const segment = take(SEGMENT_BYTES);
  if (segment != 0) memory.fill(segment, 0, SEGMENT_BYTES);
  return segment;
}

function takeBucket(): usize {
  let bucket = spares;
  if (bucket != 0) spares = load<u32>(bucket);
  else bucket = take(BUCKET_BYTES);
  if (bucket != 0) clearBucket(bucket);
  return bucket;
}

@inline
function clearBucket(bucket: usize): void {
  v128.store(bucket, i64x2(0, 0));
}

function reserve(buckets: u32): bool {
  for (let i: u32 = 0; i < buckets; i++) {
    const bucket = take(BUCKET_BYTES);
    if (bucket == 0) return false;
    store<u32>(bucket, <u32>spares);
    spares = bucket;
  }
  return true;
}

function releaseSpares(): void {
  while (spares != 0) {
    const bucket = spares;
    spares = load<u32>(bucket);
    give(bucket, BUCKET_BYTES);
  }
}
