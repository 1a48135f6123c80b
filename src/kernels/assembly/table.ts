/**
 * A set of records found by their first eight bytes, as a linear hash table (Litwin): buckets of twelve cells split
 * one by one as records come and merge one by one as they go, so that no operation pays for all of them. A record's
 * bucket is given by the low bits of its key's hash, its tag by the high ones.
 *
 * Hints: a split must know one more bit of each hash, and to read all records for it costs more than all the rest.
 * So the three low bits of a cell's address, which are zero in a record's, hold the three bits of the hash that the
 * current third of doublings (`round` 0 to 2, 3 to 5, ...) asks for. Its first round reads the records.
 */

import { give, take } from './arena';
import {
  BUCKET_BYTES,
  CELLS,
  HINT_BITS,
  append,
  cellsWithTag,
  chainOn,
  clearBucket,
  fillCell,
  filledCells,
  hashOf,
  hintOf,
  lengthOf,
  nextBucket,
  recordAt,
  releaseSpares,
  removeCell,
  renewHints,
  reserve,
  tagOf,
  truncate,
  wordAt,
} from './bucket';

export const TABLE_BYTES: usize = 24;
const COUNT: usize = 0;
const BUCKETS: usize = 4;
const MASK: usize = 8;
const DIRECTORY: usize = 12;
const SEGMENTS: usize = 16;
/** Rounds before this one read the records, since merging mixed up their hints. */
const HINTED_FROM: usize = 20;

const SEGMENT_SHIFT: u32 = 4;
const SEGMENT_BYTES: usize = BUCKET_BYTES << 4;

/** Records per bucket, on average, above which one splits and below which one merges. */
const SPLIT_ABOVE: u32 = 8;
const MERGE_BELOW: u32 = 5;

/** Takes what glances load, lest the compiler drops them. */
let glanced: u32 = 0;
/** Cells of the bucket that is being split: word u32, tag u8. */
const staying: usize = memory.data(96, 8);
const leaving: usize = memory.data(96, 8);

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
  store<u32>(table, 0, HINTED_FROM);
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

/** The record with that key, or 0. `hash` is the key's, see `hashOf`. */
export function find(table: usize, key: u64, hash: u64): usize {
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

/**
 * Hashes a batch of keys and looks them up without waiting: for each a record that may have it, or 0. A pass that
 * misses the cache does next to nothing else, and none has a branch to mispredict, so that the misses of many keys
 * overlap; what is done next with a key finds its chain and record in the cache.
 */
export function glance(table: usize, keys: usize, count: u32, hashes: usize, records: usize): void {
  const ends = keys + (<usize>count << 3);
  for (let key = keys, hash = hashes, record = records; key < ends; key += 8, hash += 8, record += 4) {
    const hashed = hashOf(load<u64>(key));
    store<u64>(hash, hashed);
    store<u32>(record, <u32>chainOf(table, hashed));
  }
  const end = records + (<usize>count << 2);
  let sum: u32 = 0;
  for (let at = records; at < end; at += 4) sum += load<u32>(load<u32>(at));
  for (let at = records; at < end; at += 4) {
    const first = <usize>load<u32>(at);
    const second = nextBucket(first);
    sum += load<u32>(select<usize>(second, first, second != 0));
  }
  for (let at = records, hash = hashes; at < end; at += 4, hash += 8) {
    const tag = tagOf(load<u64>(hash));
    const first = <usize>load<u32>(at);
    const next = nextBucket(first);
    const second = select<usize>(next, first, next != 0);
    const inFirst = cellsWithTag(first, tag);
    const cells = select<i32>(inFirst, cellsWithTag(second, tag), inFirst != 0);
    const record = recordAt(select<usize>(first, second, inFirst != 0), <u32>ctz(cells | (1 << (CELLS - 1))));
    store<u32>(at, select<u32>(<u32>record, 0, cells != 0));
    sum += load<u32>(select<usize>(record, first, cells != 0));
  }
  glanced = sum;
}

/** Brings the chains into the cache that split while so many records are inserted. */
export function glanceAtSplits(table: usize, inserts: u32): void {
  const buckets = bucketsOf(table);
  const mask = load<u32>(table, MASK);
  const low = (buckets > mask ? (mask << 1) | 1 : mask) >> 1;
  const splits = min(inserts / SPLIT_ABOVE + 1, buckets);
  for (let i: u32 = 0; i < splits; i++) {
    const bucket = bucketAt(table, (buckets + i) & low);
    const next = nextBucket(bucket);
    glanced ^= load<u32>(select<usize>(next, bucket, next != 0));
  }
}

/** Adds a record whose key is not in the table; false if there is no memory for its cell. */
export function insert(table: usize, record: usize, hash: u64): bool {
  if (!append(chainOf(table, hash), tagOf(hash), <u32>record | hintOf(hash, roundOf(table)))) return false;
  const count = countOf(table) + 1;
  store<u32>(table, count, COUNT);
  if (count > bucketsOf(table) * SPLIT_ABOVE) split(table);
  return true;
}

/** Takes out a record that is in the table. Without `shrink`, all records stay in their buckets. */
export function remove(table: usize, record: usize, shrink: bool): void {
  const hash = hashOf(load<u64>(record));
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
  const round = <u32>popcnt(mask) - 1;
  const bit = round % HINT_BITS;
  const hinted = bit != 0 && round >= load<u32>(table, HINTED_FROM);
  let moved = bucketAt(table, fresh);
  let movedCells: u32 = 0;
  let kept = chain;
  let keptCells: u32 = 0;
  let bucket = chain;
  do {
    const cells = filledCells(bucket);
    const next = nextBucket(bucket);
    if (!hinted) renewHints(bucket, cells, round);
    const moving = part(bucket, cells, bit);
    for (let i: u32 = 0; i < cells - moving; i++) {
      if (keptCells == CELLS) {
        kept = nextBucket(kept);
        keptCells = 0;
      }
      fillCell(kept, keptCells++, load<u8>(staying + (i << 3), 4), load<u32>(staying + (i << 3)));
    }
    for (let i: u32 = 0; i < moving; i++) {
      if (movedCells == CELLS) {
        moved = chainOn(moved);
        movedCells = 0;
      }
      fillCell(moved, movedCells++, load<u8>(leaving + (i << 3), 4), load<u32>(leaving + (i << 3)));
    }
    bucket = next;
  } while (bucket != 0);
  truncate(kept, keptCells);
  releaseSpares();
}

/**
 * Parts the cells of a bucket by a bit of their hints into `staying` and `leaving`; how many leave. Every cell is
 * written to both, for the bit is a coin flip, which a branch would mispredict half the time.
 */
function part(bucket: usize, cells: u32, bit: u32): u32 {
  let left: u32 = 0;
  for (let cell: u32 = 0; cell < cells; cell++) {
    const word = wordAt(bucket, cell);
    const entry = <u64>word | (<u64>load<u8>(bucket + cell) << 32);
    store<u64>(staying + ((cell - left) << 3), entry);
    store<u64>(leaving + (left << 3), entry);
    left += (word >> bit) & 1;
  }
  return left;
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
    for (let cell: u32 = 0; cell < filled; cell++) append(target, load<u8>(bucket + cell), wordAt(bucket, cell));
    const next = nextBucket(bucket);
    if (bucket != source) give(bucket, BUCKET_BYTES);
    bucket = next;
  }
  clearBucket(source);
  store<u32>(table, last, BUCKETS);
  if (last << 1 == mask + 1) store<u32>(table, mask >> 1, MASK);
  if ((last & 15) == 0) give(source, SEGMENT_BYTES);
  store<u32>(table, roundOf(table) + HINT_BITS - (roundOf(table) % HINT_BITS), HINTED_FROM);
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

@inline
function chainOf(table: usize, hash: u64): usize {
  const mask = load<u32>(table, MASK);
  const i = <u32>hash & mask;
  return bucketAt(table, i < bucketsOf(table) ? i : i & (mask >> 1));
}

/** The doubling that the table is in: the bit of hashes that splits ask for. */
@inline
function roundOf(table: usize): u32 {
  const mask = load<u32>(table, MASK);
  const bits = <u32>popcnt(mask);
  return bucketsOf(table) > mask ? bits : bits - 1;
}

function takeSegment(): usize {
  const segment = take(SEGMENT_BYTES);
  if (segment != 0) memory.fill(segment, 0, SEGMENT_BYTES);
  return segment;
}

