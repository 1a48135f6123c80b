import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';
import { lowest, pickBySample, softmaxOfCosts } from './sampling.ts';

/**
 * The KV cost of version 1.0.2: `w (activePrefill + isl - overlap bs) / bs + decode blocks`, device blocks only,
 * where w is the prefill weight. Ties go to the rank that holds fewer blocks in all, then to chance.
 */
export function kvPolicy1x0(blockSize: number, random: Random): Policy {
  let scratch = new Float64Array(16);
  return {
    name: 'kv-1.0',
    reads: 'overlap',
    readsResidents: true,
    choose(request, candidates, costs, probabilities) {
      const { count } = candidates;
      const { temperature, prefillLoadScale, trackPrefillTokens } = request.weights;
      for (let row = 0; row < count; row++) {
        const backlog = trackPrefillTokens ? candidates.prefillTokens[row]! : 0;
        const toCompute = (backlog + request.isl - candidates.device[row]! * blockSize) / blockSize;
        const decode =
          candidates.hasLoad[row] === 1
            ? candidates.activeBlocks[row]! + candidates.additionalBlocks[row]!
            : Math.floor(toCompute);
        costs[row] = prefillLoadScale * toCompute + decode;
      }
      if (scratch.length < count) scratch = new Float64Array(2 * count);
      if (temperature === 0) {
        const sizes = smallestOfCheapest(candidates.residentBlocks, count, costs, scratch);
        return lowest(sizes, count, random, probabilities);
      }
      softmaxOfCosts(costs, count, temperature, probabilities);
      return pickBySample(probabilities, count, random.next());
    },
  };
}

/** Sizes of the cheapest rows, infinity for the others. */
function smallestOfCheapest(
  residentBlocks: Float64Array,
  count: number,
  costs: Float64Array,
  out: Float64Array,
): Float64Array {
  let least = Number.POSITIVE_INFINITY;
  for (let row = 0; row < count; row++) least = Math.min(least, costs[row]!);
  for (let row = 0; row < count; row++)
    out[row] = costs[row] === least ? residentBlocks[row]! : Number.POSITIVE_INFINITY;
  return out;
}
