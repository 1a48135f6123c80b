import type { Random } from '../../base/random.ts';
import { kvCosts } from './kv-cost.ts';
import type { Policy } from './policy.ts';
import { lowest, pickBySample, softmaxOfCosts } from './sampling.ts';

/** The cheapest rank by cached prefix, prefill backlog and blocks in decode. */
export function kvPolicy(blockSize: number, random: Random): Policy {
  return {
    name: 'kv',
    reads: 'overlap',
    choose(request, candidates, costs, probabilities) {
      const { count } = candidates;
      const { temperature } = request.weights;
      kvCosts(request.isl, blockSize, request.weights, candidates, costs);
      if (temperature === 0) return lowest(costs, count, random, probabilities);
      softmaxOfCosts(costs, count, temperature, probabilities);
      return pickBySample(probabilities, count, random.next());
    },
  };
}
