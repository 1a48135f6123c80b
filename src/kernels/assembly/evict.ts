/**
 * Making room when the limit is reached. A hand goes round the buckets of all ranks and drops residences without
 * children, at first only those not stored since it came by last (the clock algorithm); so prefixes shrink from
 * their cold ends and no hole appears.
 */

import { isLeaf, leaveAll, release, takeTouch, tiersOf } from './residence';
import { addEvicted, handOf, rankCapacity, setHand, stateOf } from './rank';
import { filledCells, nextBucket, recordAt } from './bucket';
import { bucketAt, bucketsOf } from './table';

/** Residences dropped at a time; buckets looked at before recent ones go as well, and before giving up. */
const BATCH: u32 = 16;
const PATIENCE: u32 = 256;
const GIVE_UP: u32 = 65536;

let handRank: u32 = 0;
/** Residents dropped, ever. */
export let evicted: u64 = 0;

/** Drops some residences; false if none could be. */
export function evictSome(): bool {
  let dropped: u32 = 0;
  let idleRanks: u32 = 0;
  for (let step: u32 = 0; step < GIVE_UP && dropped < BATCH && idleRanks <= rankCapacity; ) {
    const state = stateOf(handRank);
    if (state == 0 || handOf(state) >= bucketsOf(state)) {
      if (state != 0) setHand(state, 0);
      handRank = handRank + 1 < rankCapacity ? handRank + 1 : 0;
      idleRanks++;
      continue;
    }
    idleRanks = 0;
    dropped += evictFrom(state, handOf(state), step >= PATIENCE);
    setHand(state, handOf(state) + 1);
    step++;
  }
  evicted += dropped;
  return dropped > 0;
}

function evictFrom(state: usize, chain: u32, recentToo: bool): u32 {
  let dropped: u32 = 0;
  for (let bucket = bucketAt(state, chain); bucket != 0; bucket = nextBucket(bucket)) {
    for (let cell: u32 = 0; cell < filledCells(bucket); cell++) {
      const residence = recordAt(bucket, cell);
      if (!isLeaf(residence) || tiersOf(residence) == 0) continue;
      if (takeTouch(residence) && !recentToo) continue;
      leaveAll(state, residence);
      release(state, residence);
      addEvicted(state);
      // The table may have moved under the loop: the rest of the chain waits for the next round.
      return dropped + 1;
    }
  }
  return dropped;
}
