import { VirtualClock } from '../base/clock.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import type { RouterConfig } from '../kv/config.ts';
import { decisionObserver } from '../kv/decision-lines.ts';
import type { BlockHasher } from '../kv/hash.ts';
import type { KvIndex } from '../kv/index/kv-index.ts';
import { replayAggregated } from './aggregated-fleet.ts';
import type { LoadOptions } from './arrivals.ts';
import { replayDisaggregated } from './disaggregated-fleet.ts';
import type { RequestRecord } from './record.ts';
import type { Recorder } from './recorder.ts';
import { type FleetCost, type Report, type Sla, summarizeReplay } from './report.ts';
import { retimed } from './retiming.ts';
import { routedPlacement } from './routed-placement.ts';
import { ONE_ROUTER, type RouterGroupSpec } from './router-group.ts';
import type { Workload } from './workload.ts';

/** Modes that ask the index what is cached; the others are spared its upkeep. */
const CACHE_READING: ReadonlySet<string> = new Set(['kv', 'kv-1.0', 'thompson', 'thompson-reference']);

/** One replay, whole: the same spec gives the same result to the byte. */
export interface ReplaySpec {
  readonly workload: Workload;
  readonly engine: EngineSettings;
  readonly topology: Topology;
  readonly router: RouterConfig;
  /** One unless given. */
  readonly group?: RouterGroupSpec | undefined;
  readonly load: LoadOptions;
  readonly sla: Sla | undefined;
  /** Re-times arrivals and breaks ties; 0 takes the trace as it stands. */
  readonly seed: number;
  readonly maxSimTimeMs: number | undefined;
}

export type Topology =
  | {
      readonly kind: 'aggregated';
      readonly workers: number;
      /** How fast each is; empty where all are alike. Routers are not told. */
      readonly speeds: readonly number[];
    }
  | {
      readonly kind: 'disaggregated';
      readonly prefillWorkers: number;
      readonly decodeWorkers: number;
      /** How decode workers are chosen; `router` chooses prefill workers. */
      readonly decodeRouter: RouterConfig;
      /** Transfer time where the engine's bytes per token or bandwidth are not set. */
      readonly handoffLatencyMs: number;
    };

/** Things that are dear to make and hold no state between replays, or are made anew for each. */
export interface ReplayParts {
  readonly hasher: BlockHasher;
  readonly makeIndex: () => KvIndex;
  readonly onProgress?: (ended: number) => void;
  readonly signal?: AbortSignal;
  /** Takes each decision, and what came of it, as a line of JSON. */
  readonly onDecision?: ((line: string) => void) | undefined;
}

export interface ReplayResult {
  readonly report: Report;
  /** By arrival, then by place in the trace. */
  readonly records: readonly RequestRecord[];
}

export async function runReplay(spec: ReplaySpec, parts: ReplayParts): Promise<ReplayResult> {
  const { records, gaps, lastEndNs } = await runTopology(spec, parts);
  const report = summarizeReplay({
    records,
    gaps,
    durationNs: lastEndNs,
    sla: spec.sla,
    cost: costOf(spec, lastEndNs / 1e9),
  });
  const sorted = [...records].sort((a, b) => a.arrivalNs - b.arrivalNs || a.request.index - b.request.index);
  return { report, records: sorted };
}

function runTopology(
  spec: ReplaySpec,
  { hasher, makeIndex, onProgress, signal, onDecision }: ReplayParts,
): Promise<Recorder> {
  const { topology, load, maxSimTimeMs, seed } = spec;
  const clock = new VirtualClock();
  const workload = seed === 0 ? spec.workload : retimed(spec.workload, seed);
  const fleet = { workload, load, hasher, clock, maxSimTimeMs, onProgress, signal };
  const role = (workers: number, config: RouterConfig, hop: string) => {
    const engine = { ...spec.engine, emitKvEvents: readsIndex(config) };
    const observer = onDecision && decisionObserver(hop, engine.blockSize, onDecision);
    const { group = ONE_ROUTER } = spec;
    const parts = { clock, seed, hasher, makeIndex, observer };
    const placement = routedPlacement({ group, config, engine, workers, ...parts });
    return { engine, workers, placement };
  };
  if (topology.kind === 'aggregated')
    return replayAggregated({
      ...fleet,
      ...role(topology.workers, spec.router, 'decode'),
      speeds: topology.speeds,
    });
  return replayDisaggregated({
    ...fleet,
    prefill: role(topology.prefillWorkers, spec.router, 'prefill'),
    decode: role(topology.decodeWorkers, topology.decodeRouter, 'decode'),
    handoffLatencyMs: topology.handoffLatencyMs,
  });
}

function costOf({ topology, engine }: ReplaySpec, seconds: number): FleetCost {
  const gpus = engine.dpSize * engine.tensorParallelSize;
  const [prefill, decode] =
    topology.kind === 'aggregated'
      ? [0, topology.workers]
      : [topology.prefillWorkers, topology.decodeWorkers];
  return {
    prefillWorkerSeconds: prefill * seconds,
    prefillGpusPerWorker: prefill > 0 ? gpus : 0,
    decodeWorkerSeconds: decode * seconds,
    decodeGpusPerWorker: gpus,
  };
}

/** Whether the router looks at what caches hold; where it does not, nobody needs to tell it. */
function readsIndex({ mode, useKvEvents, loadAware }: RouterConfig): boolean {
  return useKvEvents && !loadAware && CACHE_READING.has(mode);
}
