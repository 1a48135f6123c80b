import type { Capacity } from './capacity.ts';
import { type Comparison, comparisonJson } from './comparison.ts';
import { aligned, comparisonTable } from './comparison-table.ts';
import type { ReplayJob } from './replay-job.ts';

/** Capacity of one mode. */
export interface ModeCapacity {
  readonly mode: string;
  readonly capacity: Capacity;
}

/** What a comparison came to. */
export interface ComparisonResult {
  /** Its load is the one that was replayed. */
  readonly job: ReplayJob;
  readonly comparison: Comparison;
  /** KVE of an endless cache on one worker. */
  readonly kveBound: number;
  /** The search that the load came from, if any. */
  readonly searched: (ModeCapacity & { readonly loadShare: number }) | undefined;
}

/** The whole result as JSON; `labels` (the trace's name, the timing model's) are added as they are. */
export function comparisonReport(
  { job, comparison, kveBound, searched }: ComparisonResult,
  labels: Readonly<Record<string, unknown>>,
): object {
  const { workload, engine, load, sla } = job.base;
  return {
    schema: 'kvasir.replay.v1',
    requests: workload.requests.length,
    ...workersJson(job),
    speedup: load.speedup,
    concurrency: load.maxInFlight ?? null,
    seeds: job.seeds,
    kve_bound: kveBound,
    capacity: searched === undefined ? null : { ...capacityJson(searched), load_share: searched.loadShare },
    engine: { ...engine, timing: undefined },
    sla: sla ?? null,
    ...labels,
    ...comparisonJson(comparison),
  };
}

export function comparisonText({ job, comparison, kveBound }: ComparisonResult): readonly string[] {
  const { load, workload } = job.base;
  const pace =
    load.maxInFlight === undefined
      ? `speed-up ${load.speedup.toPrecision(4)}`
      : `${load.maxInFlight} at once`;
  const seeds = job.seeds === 1 ? '' : `, ${job.seeds} seeds, mean ± 95 % interval`;
  return [
    `${workload.requests.length} requests on ${workersText(job)}, ${pace}${seeds}; times in ms`,
    ...comparisonTable(comparison),
    `KVE with endless memory on one worker: ${(100 * kveBound).toFixed(1)} %`,
  ];
}

export function capacityReport(job: ReplayJob, found: readonly ModeCapacity[]): object {
  const capacities = found.map((each) => ({
    ...capacityJson(each),
    requests_per_s: each.capacity.speedup * naturalRate(job),
  }));
  return { schema: 'kvasir.replay-capacity.v1', ...workersJson(job), seeds: job.seeds, capacities };
}

export function capacityText(job: ReplayJob, found: readonly ModeCapacity[]): readonly string[] {
  const rows = found.map(({ mode, capacity: { speedup } }) => {
    return [mode, speedup.toFixed(3), (speedup * naturalRate(job)).toFixed(2)];
  });
  return aligned([['mode', 'capacity (speed-up)', 'requests/s'], ...rows]);
}

/** Requests per second of the workload at speed-up 1. */
function naturalRate({ base: { workload } }: ReplayJob): number {
  const spanMs = workload.sessions.reduce((latest, { arrivalMs }) => Math.max(latest, arrivalMs), 0);
  return spanMs === 0 ? 0 : (workload.requests.length / spanMs) * 1000;
}

function capacityJson({ mode, capacity }: ModeCapacity): object {
  const probes = capacity.probes.map(({ speedup, begunShare, keptUp }) => {
    return { speedup, begun_share: begunShare, kept_up: keptUp };
  });
  return { mode, speedup: capacity.speedup, probes };
}

function workersJson({ base: { topology } }: ReplayJob): object {
  return topology.kind === 'aggregated'
    ? { workers: topology.workers }
    : { prefill_workers: topology.prefillWorkers, decode_workers: topology.decodeWorkers };
}

function workersText({ base: { topology } }: ReplayJob): string {
  return topology.kind === 'aggregated'
    ? `${topology.workers} workers`
    : `${topology.prefillWorkers} prefill and ${topology.decodeWorkers} decode workers`;
}
