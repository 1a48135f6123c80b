import type { Clock } from '../base/clock.ts';
import { readEngineLoads } from '../formats/engine-load/engine-load.ts';
import { parseExposition } from '../formats/prometheus-text/parse.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { HttpClient } from '../transport/http-client.ts';

const FIRST_INTERVAL_MS = 1000;
const MAX_INTERVAL_MS = 15_000;
/** After which no request of before can be left; what is still unbooked then is the router's own, such as output. */
const LIMIT_MS = 300_000;
const TIMEOUT_MS = 2000;

/**
 * Tells a router what an engine that joins is still busy with, as its metrics have it: after a restart of the router the
 * requests of before weigh as well. Ends by itself once none of them are left; returns what ends it earlier.
 */
export function followJoiningLoad(
  { workerId, url, kind }: WorkerInstance,
  router: KvRouter,
  { client, clock }: { readonly client: HttpClient; readonly clock: Clock },
): () => void {
  if (kind === 'openai') return () => {};
  const stop = new AbortController();
  const untilMs = clock.nowMs() + LIMIT_MS;
  let intervalMs = FIRST_INTERVAL_MS;
  let cancel: () => void = () => {};
  const look = async (): Promise<void> => {
    const left = await usedBlocks().catch(() => undefined);
    // Engines that do not tell are taken to be idle, as they always were.
    if (stop.signal.aborted || left === undefined || left.size === 0) return;
    const foreignBlocks = clock.nowMs() < untilMs ? undefined : 0;
    for (const [dpRank, kvUsedBlocks] of left)
      router.reportLoad({ workerId, dpRank }, { kvUsedBlocks, foreignBlocks });
    const foreign = router
      .loads()
      .some((load) => load.worker.workerId === workerId && load.foreignBlocks > 0);
    if (!foreign) return;
    cancel = clock.at(clock.nowMs() + intervalMs, () => void look());
    intervalMs = Math.min(MAX_INTERVAL_MS, 1.5 * intervalMs);
  };
  const usedBlocks = async (): Promise<ReadonlyMap<number, number>> => {
    const answer = await client.text(`${url}/metrics`, { timeoutMs: TIMEOUT_MS, signal: stop.signal });
    const loads = answer.status === 200 ? readEngineLoads(parseExposition(answer.text)) : [];
    return new Map(loads.flatMap(({ rank, usedBlocks: used }) => (used === undefined ? [] : [[rank, used]])));
  };
  void look();
  return () => {
    stop.abort();
    cancel();
  };
}
