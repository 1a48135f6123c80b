import type { KvRouter } from '../kv/kv-router.ts';
import type { Hop, WorkerPool } from './worker-pool.ts';

/** Everything known of each rank of a model, at one glance; holds nothing of any prompt. */
export function rankReport(pool: WorkerPool): object[] {
  return [...pool.routers].flatMap(([hop, router]) => ranksOf(pool, hop, router));
}

/** Workers that answer but cannot serve the model, and why. */
export function refusedWorkers({ model, refused }: WorkerPool): object[] {
  return refused.map(({ instance, reason }) => {
    const { workerId, url } = instance;
    return { model, workerId, url, reason };
  });
}

function ranksOf(pool: WorkerPool, hop: Hop, router: KvRouter): object[] {
  const loads = new Map(
    router.loads().map((load) => [`${load.worker.workerId}/${load.worker.dpRank}`, load]),
  );
  return router.intake.states().map(({ worker, ...intake }) => {
    const load = loads.get(`${worker.workerId}/${worker.dpRank}`);
    return {
      model: pool.model,
      hop,
      worker,
      url: pool.instance(worker.workerId)?.url,
      ...intake,
      load: load && {
        activeRequests: load.activeRequests,
        activeDecodeBlocks: load.activeDecodeBlocks,
        activePrefillTokens: load.activePrefillTokens,
        foreignBlocks: load.foreignBlocks,
        busy: load.busy,
      },
      prediction: router.biasOf(worker) ?? null,
      circuit: pool.circuits.of(worker.workerId),
    };
  });
}
