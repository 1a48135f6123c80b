/** Forgetting what cleared ranks held, a little with every event, so that clearing takes no time of its own. */

import { leaveAll, release, tiersOf } from './residence';
import { closeFirstCleared, firstCleared, handOf, setHand } from './rank';
import { filledCells, nextBucket, recordAt } from './bucket';
import { bucketAt, bucketsOf } from './table';

/** Drops up to `budget` residences of cleared ranks; whether any is left. */
export function sweep(budget: u32): bool {
  while (firstCleared != 0 && budget > 0) {
    const state = firstCleared;
    const chain = handOf(state);
    if (chain == bucketsOf(state)) {
      closeFirstCleared();
      continue;
    }
    const residence = residentIn(bucketAt(state, chain));
    if (residence == 0) {
      setHand(state, chain + 1);
    } else {
      leaveAll(state, residence);
      release(state, residence);
    }
    budget--;
  }
  return firstCleared != 0;
}

/** A residence of the chain that is in some tier, or 0. Others go along with their descendants. */
function residentIn(chain: usize): usize {
  for (let bucket = chain; bucket != 0; bucket = nextBucket(bucket)) {
    const filled = filledCells(bucket);
    for (let cell: u32 = 0; cell < filled; cell++) {
      const residence = recordAt(bucket, cell);
      if (tiersOf(residence) != 0) return residence;
    }
  }
  return 0;
}
