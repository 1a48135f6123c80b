import type { Random } from '../../base/random.ts';
import { kvCosts } from './kv-cost.ts';
import type { Policy } from './policy.ts';
import { lowest, pickBySample, softmaxOfCosts } from './sampling.ts';

/** The cheapest rank by cached prefix, prefill backlog and blocks in decode. */
export function kvPolicy(blockSize: number, random: Random): Policy {
  let probabilities = new Float64Array(16);
  return {
    name: 'kv',
    reads: 'overlap',
    choose(request, candidates, costs) {
      const { count } = candidates;
      const { temperature } = request.weights;
      kvCosts(request.isl, blockSize, request.weights, candidates, costs);
      if (temperature === 0) return lowest(costs, count, random);
      if (probabilities.length < count) probabilities = new Float64Array(2 * count);
      softmaxOfCosts(costs, count, temperature, probabilities);
      return pickBySample(probabilities, count, random.next());
    },
  };
}
