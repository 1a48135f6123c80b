/**
 * Engines may name one block of one rank by several ids. The block counts a rank once; how many ids there are
 * beyond the first is kept here, apart, since it hardly ever happens.
 *
 * Record: holder, block and tier as one u64, number of further ids u32.
 */

import { give, takeRecord } from './arena';
import { hashOf } from './bucket';
import { find, insert, openTable, remove } from './table';

const FURTHER: usize = 8;
const ALIAS_BYTES: usize = 16;

const aliases: usize = memory.data(24, 8);

export function openAliases(): bool {
  return openTable(aliases);
}

/** Counts a further id; false if there is no memory. */
export function addAlias(holder: u32, block: usize, tier: u32): bool {
  const key = keyOf(holder, block, tier);
  const hash = hashOf(key);
  let alias = find(aliases, key, hash);
  if (alias == 0) {
    alias = takeRecord(ALIAS_BYTES);
    if (alias == 0) return false;
    store<u64>(alias, key);
    store<u32>(alias, 0, FURTHER);
    if (!insert(aliases, alias, hash)) {
      give(alias, ALIAS_BYTES);
      return false;
    }
  }
  store<u32>(alias, load<u32>(alias, FURTHER) + 1, FURTHER);
  return true;
}

/** Discounts a further id; false if there was none. */
export function removeAlias(holder: u32, block: usize, tier: u32): bool {
  const key = keyOf(holder, block, tier);
  const alias = find(aliases, key, hashOf(key));
  if (alias == 0) return false;
  const further = load<u32>(alias, FURTHER) - 1;
  store<u32>(alias, further, FURTHER);
  if (further == 0) {
    remove(aliases, alias, true);
    give(alias, ALIAS_BYTES);
  }
  return true;
}

@inline
function keyOf(holder: u32, block: usize, tier: u32): u64 {
  return (<u64>holder << 34) | (<u64>block << 2) | <u64>tier;
}
