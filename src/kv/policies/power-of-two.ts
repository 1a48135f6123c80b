import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';

/** Of two different candidates drawn at random, the one with fewer requests in flight; the first drawn on a tie. */
export function powerOfTwoPolicy(random: Random): Policy {
  let sorted = new Float64Array(16);
  return {
    name: 'power-of-two',
    reads: 'load',
    choose(_request, { count, activeRequests }, _costs, probabilities) {
      if (sorted.length < count) sorted = new Float64Array(2 * count);
      if (count === 1) return 0;
      const first = random.nextInt(count);
      const other = random.nextInt(count - 1);
      const second = other < first ? other : other + 1;
      const ascending = sorted.subarray(0, count);
      ascending.set(activeRequests.subarray(0, count));
      ascending.sort();
      for (let row = 0; row < count; row++) {
        // Won: the pairs with busier ones, and one order in two of those with equals.
        const busier = count - firstAbove(ascending, activeRequests[row]!);
        const notLess = count - firstAbove(ascending, activeRequests[row]! - 1);
        probabilities[row] = (busier + notLess - 1) / (count * (count - 1));
      }
      return activeRequests[second]! < activeRequests[first]! ? second : first;
    },
  };
}

/** How many of the whole numbers are not above the limit. */
function firstAbove(ascending: Float64Array, limit: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
