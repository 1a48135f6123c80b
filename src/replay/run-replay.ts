import { VirtualClock } from '../base/clock.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import type { RouterConfig } from '../kv/config.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import { replayAggregated } from './aggregated-fleet.ts';
import type { LoadOptions } from './arrivals.ts';
import type { RequestRecord } from './record.ts';
import { type Report, type Sla, summarizeReplay } from './report.ts';
import { retimed } from './retiming.ts';
import { routedPlacement } from './routed-placement.ts';
import type { Workload } from './workload.ts';

/** One replay, whole: the same spec gives the same result to the byte. */
export interface ReplaySpec {
  readonly workload: Workload;
  readonly engine: EngineSettings;
  readonly workers: number;
  readonly router: RouterConfig;
  readonly load: LoadOptions;
  readonly sla: Sla | undefined;
  /** Re-times arrivals and breaks ties; 0 takes the trace as it stands. */
  readonly seed: number;
  readonly maxSimTimeMs: number | undefined;
}

/** Things that are dear to make and hold no state between replays, or are made anew for each. */
export interface ReplayParts {
  readonly hasher: BlockHasher;
  readonly makeIndex: () => KvIndex;
  readonly onProgress?: (ended: number) => void;
}

export interface ReplayResult {
  readonly report: Report;
  /** By arrival, then by place in the trace. */
  readonly records: readonly RequestRecord[];
}

export async function runReplay(
  spec: ReplaySpec,
  { hasher, makeIndex, onProgress }: ReplayParts,
): Promise<ReplayResult> {
  const { router, workers, seed } = spec;
  const clock = new VirtualClock();
  const engine = { ...spec.engine, emitKvEvents: readsIndex(router) };
  const { records, gaps, lastEndNs } = await replayAggregated({
    workload: seed === 0 ? spec.workload : retimed(spec.workload, seed),
    load: spec.load,
    engine,
    workers,
    placement: routedPlacement({ config: router, engine, workers, clock, seed, hasher, index: makeIndex() }),
    hasher,
    clock,
    maxSimTimeMs: spec.maxSimTimeMs,
    onProgress,
  });
  const report = summarizeReplay({
    records,
    gaps,
    durationNs: lastEndNs,
    sla: spec.sla,
    cost: {
      prefillWorkerSeconds: 0,
      decodeWorkerSeconds: (workers * lastEndNs) / 1e9,
      prefillGpusPerWorker: 0,
      decodeGpusPerWorker: engine.dpSize * engine.tensorParallelSize,
    },
  });
  const sorted = [...records].sort((a, b) => a.arrivalNs - b.arrivalNs || a.request.index - b.request.index);
  return { report, records: sorted };
}

/** Whether the router looks at what caches hold; where it does not, nobody needs to tell it. */
function readsIndex({ mode, useKvEvents, loadAware }: RouterConfig): boolean {
  return useKvEvents && !loadAware && (mode === 'kv' || mode === 'kv-1.0');
}
