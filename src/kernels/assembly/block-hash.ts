/** Hashes of all blocks of a prompt in one call; crossing from JavaScript per block costs more than the hashing. */

import { xxh3, xxh3OfPair } from './xxh3';

/** The seed that every router and engine of the Dynamo family uses; a prompt's namespace is not chained again. */
export const CHAIN_SEED: u64 = 1337;

/** Local hashes of `count` windows of `windowBytes`, each `strideBytes` after the one before. */
export function hashWindows(
  at: usize,
  strideBytes: usize,
  windowBytes: usize,
  count: usize,
  seed: u64,
  locals: usize,
): void {
  for (let i: usize = 0; i < count; i++) {
    store<u64>(locals + (i << 3), xxh3(at + i * strideBytes, windowBytes, seed));
  }
}

/** Sequence hashes from local ones, from the root. In place if both are the same range. */
export function chainFromRoot(locals: usize, count: usize, sequence: usize): void {
  if (count == 0) return;
  const first = load<u64>(locals);
  store<u64>(sequence, first);
  chainFrom(first, locals + 8, count - 1, sequence + 8);
}

/** Sequence hashes of the blocks that follow `parent`. */
export function chainFrom(parent: u64, locals: usize, count: usize, sequence: usize): void {
  let last = parent;
  for (let i: usize = 0; i < count; i++) {
    last = xxh3OfPair(last, load<u64>(locals + (i << 3)), CHAIN_SEED);
    store<u64>(sequence + (i << 3), last);
  }
}
