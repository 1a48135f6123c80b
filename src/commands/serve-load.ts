import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import { type AnalyticModel, analyticTiming } from '../perf/analytic-model.ts';
import { replayDisaggregated } from '../replay/disaggregated-fleet.ts';
import type { Placement } from '../replay/placement.ts';
import { tpotOf, ttftOf } from '../replay/report.ts';
import type { Workload, WorkloadRequest } from '../replay/workload.ts';
import { drawLoad, LONGEST_SHARE } from '../sla-profiler/drawn-load.ts';
import type { EnginePool, LoadServer, LoadTrial, ServedRequest } from '../sla-profiler/validation.ts';

const BLOCK_SIZE = 16;
/** Rates that are tried, and requests of each at most: virtual time costs little. */
const LOAD_SHARES = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const MOST_REQUESTS = 4000;

/** Serves trials on simulated prefill and decode engines in virtual time, each request on the least busy engine. */
export function simulatedLoad(
  model: AnalyticModel,
  signal: AbortSignal,
  mostRequests = MOST_REQUESTS,
): LoadServer {
  const hasher = new BlockHasher();
  const serveTrial = async (trial: LoadTrial): Promise<ServedRequest[]> => {
    const pool = (role: 'prefill' | 'decode', { mapping, engines }: EnginePool) => ({
      engine: engineOf(model, role, mapping.gpus, trial),
      workers: engines,
      placement: leastBusy(engines),
    });
    const { records } = await replayDisaggregated({
      workload: poissonWorkload(trial),
      load: { speedup: 1, maxInFlight: undefined },
      hasher,
      handoffLatencyMs: 0,
      prefill: pool('prefill', trial.prefill),
      decode: pool('decode', trial.decode),
    });
    return records
      .toSorted((a, b) => a.request.index - b.request.index)
      .map((record) => ({ ttftMs: ttftOf(record), itlMs: tpotOf(record) }));
  };
  return {
    loadShares: LOAD_SHARES,
    mostRequests,
    async serve(trials) {
      const served = [];
      for (const trial of trials) {
        signal.throwIfAborted();
        served.push(await serveTrial(trial));
      }
      return served;
    },
  };
}

function engineOf(
  model: AnalyticModel,
  role: 'prefill' | 'decode',
  gpus: number,
  { target, requests }: LoadTrial,
): EngineSettings {
  return engineSettings({
    workerType: role,
    numGpuBlocks: Math.ceil((model.kvTokensPerGpu * gpus) / BLOCK_SIZE),
    blockSize: BLOCK_SIZE,
    // One prompt a pass, as the sweep measured prefill; decode takes what the KV cache holds.
    maxNumSeqs: role === 'prefill' ? 1 : requests,
    maxNumBatchedTokens: Math.ceil(LONGEST_SHARE * target.islTokens) + requests,
    enablePrefixCaching: false,
    timing: analyticTiming(model, gpus),
  });
}

/** The drawn requests as sessions of one turn, whose prompts share nothing. */
export function poissonWorkload(trial: LoadTrial): Workload {
  const requests: WorkloadRequest[] = [];
  const sessions = drawLoad(trial).map(({ atMs, islTokens, oslTokens }, index) => {
    const turns: WorkloadRequest[] = [];
    const session = { id: String(index), arrivalMs: atMs, turns };
    const request: WorkloadRequest = {
      index,
      requestId: undefined,
      session,
      turn: 0,
      delayMs: 0,
      inputLength: islTokens,
      outputLength: oslTokens,
      plannedTokens: undefined,
      priority: undefined,
      blockIds: undefined,
    };
    turns.push(request);
    requests.push(request);
    return session;
  });
  return { traceBlockSize: BLOCK_SIZE, sessions, requests };
}

/** The engine with the fewest requests; of equals the first. */
function leastBusy(engines: number): Placement {
  const busy = new Uint32Array(engines);
  const placed = new Map<number, number>();
  return {
    place({ index }, _prompt, { send }) {
      let worker = 0;
      for (let other = 1; other < engines; other++) if (busy[other]! < busy[worker]!) worker = other;
      busy[worker]!++;
      placed.set(index, worker);
      send({ worker, dpRank: 0, overlapTokens: 0 });
    },
    prefilled: () => {},
    ended({ index }) {
      const worker = placed.get(index);
      if (worker === undefined) return;
      placed.delete(index);
      busy[worker]!--;
    },
    kvEvents: () => {},
    mayQueue: false,
    settled: () => Promise.resolve(),
  };
}
