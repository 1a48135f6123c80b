import { SeededRandom } from '../base/random.ts';
import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import { normal } from '../math/distributions.ts';
import { type AnalyticModel, analyticTiming } from '../perf/analytic-model.ts';
import { replayDisaggregated } from '../replay/disaggregated-fleet.ts';
import type { Placement } from '../replay/placement.ts';
import { tpotOf, ttftOf } from '../replay/report.ts';
import type { Workload, WorkloadRequest } from '../replay/workload.ts';
import type { EnginePool, LoadTrial, ServeLoad } from '../sla-profiler/validation.ts';

const BLOCK_SIZE = 16;
/** Spread of prompt and answer lengths: standard deviation of a log-normal draw, as a share of the mean. */
const LENGTH_SPREAD = 0.3;
const SHORTEST = 2;
const LONGEST_SHARE = 2.5;

/** Serves trials on simulated prefill and decode engines in virtual time, each request on the least busy engine. */
export function simulatedLoad(model: AnalyticModel): ServeLoad {
  const hasher = new BlockHasher();
  return async (trial) => {
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

/** Requests with lengths about the target's, whose prompts share nothing. */
export function poissonWorkload({ ratePerS, requests: count, target, seed }: LoadTrial): Workload {
  const random = new SeededRandom(seed);
  const sigma = Math.sqrt(Math.log(1 + LENGTH_SPREAD ** 2));
  const length = (mean: number): number => {
    const drawn = Math.round(mean * Math.exp(normal(random, -(sigma ** 2) / 2, sigma)));
    return Math.min(Math.ceil(LONGEST_SHARE * mean), Math.max(SHORTEST, drawn));
  };
  let arrivalMs = 0;
  const requests: WorkloadRequest[] = [];
  const sessions = Array.from({ length: count }, (_, index) => {
    arrivalMs += (-Math.log(1 - random.next()) * 1000) / ratePerS;
    const turns: WorkloadRequest[] = [];
    const session = { id: String(index), arrivalMs, turns };
    const request: WorkloadRequest = {
      index,
      requestId: undefined,
      session,
      turn: 0,
      delayMs: 0,
      inputLength: length(target.islTokens),
      outputLength: length(target.oslTokens),
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
