import type { Random } from '../../base/random.ts';
import type { Policy } from './policy.ts';
import { lowest } from './sampling.ts';

/** How many requests an accelerator takes for one on a CPU. */
export const DEFAULT_ACCELERATOR_TO_CPU_RATIO = 8;

/**
 * For mixed fleets: ranks on CPUs get work while they have less in flight than their share of what the
 * accelerators have, `accelerator requests x CPU ranks / (ratio x accelerator ranks)`; within the kind, least loaded.
 */
export function deviceAwareWeightedPolicy(random: Random, ratio = DEFAULT_ACCELERATOR_TO_CPU_RATIO): Policy {
  return {
    name: 'device-aware-weighted',
    reads: 'load',
    choose(_request, { count, activeRequests, onCpu }, costs, probabilities) {
      const ranks = [0, 0];
      const requests = [0, 0];
      for (let row = 0; row < count; row++) {
        ranks[onCpu[row]!]!++;
        requests[onCpu[row]!]! += activeRequests[row]!;
      }
      const [accelerators = 0, cpus = 0] = ranks;
      const budget = accelerators > 0 ? Math.floor((requests[0]! * cpus) / (ratio * accelerators)) : Infinity;
      const kind = cpus > 0 && requests[1]! < budget ? 1 : 0;
      for (let row = 0; row < count; row++)
        costs[row] = onCpu[row] === kind ? activeRequests[row]! : Number.POSITIVE_INFINITY;
      return lowest(costs, count, random, probabilities);
    },
  };
}
