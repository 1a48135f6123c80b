import type { Capacity } from './capacity.ts';
import { findCapacity } from './capacity.ts';
import { type Comparison, compareModes, type ModeRuns } from './comparison.ts';
import { type ReplayParts, type ReplayResult, type ReplaySpec, runReplay } from './run-replay.ts';

/** What differs between the modes of a comparison: the router. */
export interface ModeSpec {
  readonly mode: string;
  readonly router: ReplaySpec['router'];
}

export interface ReplayJob {
  readonly modes: readonly ModeSpec[];
  /** Everything but router and seed. */
  readonly base: Omit<ReplaySpec, 'router' | 'seed'>;
  /** 1: the trace as it stands; more: so many re-timings. */
  readonly seeds: number;
}

export interface JobObserver {
  readonly started?: (mode: string, what: string) => void;
  readonly progressed?: (ended: number) => void;
  /** Called after each replay, before its records are let go. */
  readonly finished?: (mode: string, seed: number, result: ReplayResult) => Promise<void> | void;
  readonly signal?: AbortSignal;
}

/** Replays every mode on the same arrivals, seed by seed, and compares them. */
export async function compare(
  job: ReplayJob,
  parts: ReplayParts,
  observer: JobObserver,
): Promise<Comparison> {
  const runs: ModeRuns[] = [];
  for (const { mode, router } of job.modes) {
    const reports = [];
    for (const seed of seedsOf(job.seeds)) {
      observer.signal?.throwIfAborted();
      observer.started?.(mode, job.seeds === 1 ? '' : `seed ${seed} of ${job.seeds}`);
      const result = await runReplay({ ...job.base, router, seed }, withProgress(parts, observer));
      reports.push(result.report);
      await observer.finished?.(mode, seed, result);
    }
    runs.push({ mode, reports });
  }
  return compareModes(runs);
}

/** The highest speed-up that one mode keeps up with, on the first re-timing (or the trace, with one seed). */
export function capacityOf(
  job: ReplayJob,
  { mode, router }: ModeSpec,
  parts: ReplayParts,
  observer: JobObserver,
): Promise<Capacity> {
  const seed = seedsOf(job.seeds)[0]!;
  return findCapacity(async (speedup) => {
    observer.signal?.throwIfAborted();
    observer.started?.(mode, `capacity at speed-up ${speedup.toPrecision(4)}`);
    const load = { speedup, maxInFlight: undefined };
    const { records } = await runReplay({ ...job.base, load, router, seed }, withProgress(parts, observer));
    return records;
  }, job.base.load.speedup);
}

/** Seed 0 is the trace as it stands; intervals are over re-timings only. */
function seedsOf(count: number): readonly number[] {
  return count === 1 ? [0] : Array.from({ length: count }, (_, i) => i + 1);
}

function withProgress(parts: ReplayParts, { progressed }: JobObserver): ReplayParts {
  return progressed === undefined ? parts : { ...parts, onProgress: progressed };
}
