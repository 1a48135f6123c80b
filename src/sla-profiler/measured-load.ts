import type { WorkerRole } from '../formats/deployment/deployment.ts';
import { drawLoad } from './drawn-load.ts';
import type { Measurements } from './measurements.ts';
import { engineOrder, type SlaPlan } from './plan.ts';
import type { LoadServer, LoadTrial } from './validation.ts';

/** Rates that are tried: few, since each takes as long as its requests do. */
export const MEASURED_LOAD_SHARES = [0.4, 0.6, 0.8, 1];
const MOST_REQUESTS = 300;

/**
 * Serves trials on the chosen engines themselves. One engine of each role stands for all of its pool and gets its share
 * of the arrivals; the roles take turns, since one may have to be stopped before the other can start. A request's TTFT
 * is that of its prompt on the prefill engine, its ITL that of its answer on the decode engine, whose prompts are cached.
 */
export function measuredLoad(
  plan: SlaPlan,
  measurements: Measurements,
  mostRequests = MOST_REQUESTS,
): LoadServer {
  return {
    loadShares: MEASURED_LOAD_SHARES,
    mostRequests,
    async serve(trials) {
      const ttft = await serveRole(plan, measurements, 'prefill', trials);
      const itl = await serveRole(plan, measurements, 'decode', trials);
      return trials.map((_, at) => {
        const [ttftMs, itlMs] = [ttft[at], itl[at]];
        if (ttftMs === undefined || itlMs === undefined) return undefined;
        return ttftMs.map((one, i) => ({ ttftMs: one ?? undefined, itlMs: itlMs[i] ?? undefined }));
      });
    },
  };
}

/** Latencies of every request of each trial; undefined for a trial that could not be measured. */
function serveRole(
  plan: SlaPlan,
  measurements: Measurements,
  role: WorkerRole,
  trials: readonly LoadTrial[],
): Promise<(readonly (number | null)[] | undefined)[]> {
  const mapping = trials[0]![role].mapping;
  const order = engineOrder(plan, role, mapping, `selected_${role}_interpolation`);
  return measurements.withEngine(order, async (engine) => {
    const served: (readonly (number | null)[] | undefined)[] = [];
    for (const [at, trial] of trials.entries()) {
      // Arrivals that are dealt at random among n engines come to each n times more slowly.
      const { engines } = trial[role];
      const requests = drawLoad({ ...trial, ratePerS: trial.ratePerS / engines });
      // A seed of its own, lest the engine has the prompts of the trial before.
      served.push(await engine.load(requests, trial.ratePerS / engines, trial.seed + at));
    }
    return served;
  });
}
