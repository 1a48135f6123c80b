import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';

/** Any candidate, all equally likely. */
export function randomPolicy(random: Random): Policy {
  return {
    name: 'random',
    reads: 'nothing',
    choose(_request, { count }, _costs, probabilities) {
      probabilities.fill(1 / count, 0, count);
      return random.nextInt(count);
    },
  };
}
