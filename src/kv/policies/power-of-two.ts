import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';

/** Of two different candidates drawn at random, the one with fewer requests in flight; the first drawn on a tie. */
export function powerOfTwoPolicy(random: Random): Policy {
  return {
    name: 'power-of-two',
    reads: 'load',
    choose(_request, { count, activeRequests }) {
      if (count === 1) return 0;
      const first = random.nextInt(count);
      const other = random.nextInt(count - 1);
      const second = other < first ? other : other + 1;
      return activeRequests[second]! < activeRequests[first]! ? second : first;
    },
  };
}
