import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';
import { lowest } from './sampling.ts';

/** The fewest requests in flight, random among ties. */
export function leastLoadedPolicy(random: Random): Policy {
  return {
    name: 'least-loaded',
    reads: 'load',
    choose(_request, { count, activeRequests }, costs, probabilities) {
      for (let row = 0; row < count; row++) costs[row] = activeRequests[row]!;
      return lowest(costs, count, random, probabilities);
    },
  };
}
