/**
 * Linear memory as a heap of pieces: taken from a free list of their size, else from the untouched end, up to a
 * limit. Pieces are never split or joined, so that taking and giving are O(1); memory given back in one size
 * serves that size again. Sizes are multiples of 8; above 32 they round up to powers of two, and are aligned to
 * cache lines. Smaller ones come from pages of their own.
 */

const PAGE_BYTES: usize = 65536;
const GROWTH_PAGES: usize = 16;
const LINE: usize = 64;
const SMALL: usize = 32;
const SMALL_PAGE: usize = 4096;
const CLASSES: usize = 48;

const freeLists: usize = memory.data(4 * 48, 8);

let top: usize = 0;
/** What is left of the page that small pieces come from. */
let small: usize = 0;
let smallEnd: usize = 0;
let limit: usize = 0;
let freeBytes: usize = 0;
let refused: bool = false;

export function openArena(limitBytes: usize): void {
  top = (__heap_base + LINE - 1) & ~(LINE - 1);
  limit = limitBytes;
  small = 0;
  smallEnd = 0;
  freeBytes = 0;
  memory.fill(freeLists, 0, 4 * CLASSES);
}

/** A piece whose content is undefined; 0 if the limit, or the machine, allows no more. */
export function take(bytes: usize): usize {
  return takeBelow(bytes, limit);
}

/**
 * A piece for what the index holds, which leaves the last sixteenth of the memory to the tables: they must be able
 * to rearrange when no more records fit.
 */
export function takeRecord(bytes: usize): usize {
  return takeBelow(bytes, limit - (limit >> 4));
}

export function give(at: usize, bytes: usize): void {
  const list = freeLists + (classOf(bytes) << 2);
  store<u32>(at, load<u32>(list));
  store<u32>(list, <u32>at);
  freeBytes += sizeOf(bytes);
}

export function usedBytes(): usize {
  return top - freeBytes - (smallEnd - small);
}

/** Whether the machine refused memory that the limit would have allowed. */
export function wasRefused(): bool {
  return refused;
}

function takeBelow(bytes: usize, bound: usize): usize {
  const list = freeLists + (classOf(bytes) << 2);
  const free = <usize>load<u32>(list);
  if (free != 0) {
    store<u32>(list, load<u32>(free));
    freeBytes -= sizeOf(bytes);
    return free;
  }
  if (bytes > SMALL) return extend(sizeOf(bytes), bound);
  if (smallEnd - small < bytes) {
    const page = extend(SMALL_PAGE, bound);
    if (page == 0) return 0;
    small = page;
    smallEnd = page + SMALL_PAGE;
  }
  const at = small;
  small += bytes;
  return at;
}

/** The next bytes of the untouched end, a multiple of a cache line. */
function extend(size: usize, bound: usize): usize {
  const at = top;
  if (at > bound || size > bound - at || !commit(at + size)) return 0;
  top = at + size;
  return at;
}

function commit(end: usize): bool {
  const pages = <usize>memory.size();
  const needed = (end + PAGE_BYTES - 1) / PAGE_BYTES;
  if (needed <= pages) return true;
  const allowed = limit / PAGE_BYTES;
  if (needed > allowed) return false;
  const wanted = min(max(needed, pages + GROWTH_PAGES), allowed);
  if (memory.grow(<i32>(wanted - pages)) >= 0) return true;
  refused = true;
  return false;
}

@inline
function sizeOf(bytes: usize): usize {
  return bytes <= SMALL ? bytes : max(LINE, <usize>1 << log2Ceil(bytes));
}

@inline
function classOf(bytes: usize): usize {
  return bytes <= SMALL ? bytes >> 3 : max(6, log2Ceil(bytes));
}

@inline
function log2Ceil(bytes: usize): usize {
  return 32 - <usize>clz<u32>(<u32>bytes - 1);
}
