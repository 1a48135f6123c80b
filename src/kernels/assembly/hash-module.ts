/** Entry of the hash kernel: what JavaScript calls. Addresses are byte offsets into the imported memory. */

import { chainFrom, chainFromRoot, hashWindows } from './block-hash';
import { xxh3 } from './xxh3';

/** The first byte that is free for the caller. */
export const freeFrom: usize = __heap_base;

export { chainFrom, chainFromRoot, hashWindows };

export function hashBytes(at: usize, length: usize, seed: u64): u64 {
  return xxh3(at, length, seed);
}
