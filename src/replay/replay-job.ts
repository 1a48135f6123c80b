import { type Capacity, findCapacity } from './capacity.ts';
import { type Comparison, compareModes, type ModeRuns } from './comparison.ts';
import type { ReplayOutcome, ReplayRunner } from './replay-runner.ts';
import type { ReplaySpec } from './run-replay.ts';

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
  readonly signal: AbortSignal;
  /** Called as replays are planned: so many more. */
  readonly planned?: (replays: number) => void;
  /** Called after each replay. */
  readonly finished?: (mode: string, seed: number, outcome: ReplayOutcome) => Promise<void> | void;
  /** Wants every request of a comparison. */
  readonly rows: boolean;
  /** Wants every decision. */
  readonly decisions: boolean;
}

/** Replays every mode on the same arrivals, seed by seed, and compares them. */
export async function compare(
  { modes, seeds, base }: ReplayJob,
  runner: ReplayRunner,
  observer: JobObserver,
): Promise<Comparison> {
  const all = seedsOf(seeds);
  observer.planned?.(modes.length * all.length);
  const runs = modes.map(async ({ mode }): Promise<ModeRuns> => {
    const reports = all.map(async (seed) => {
      observer.signal.throwIfAborted();
      const { rows, decisions } = observer;
      const outcome = await runner.run({ mode, seed, speedup: base.load.speedup, rows, decisions });
      await observer.finished?.(mode, seed, outcome);
      return outcome.report;
    });
    return { mode, reports: await Promise.all(reports) };
  });
  return compareModes(await Promise.all(runs));
}

/** The highest speed-up that one mode keeps up with, on the first re-timing (or the trace, with one seed). */
export function capacityOf(
  { seeds, base }: ReplayJob,
  { mode }: ModeSpec,
  runner: ReplayRunner,
  observer: JobObserver,
): Promise<Capacity> {
  const seed = seedsOf(seeds)[0]!;
  return findCapacity(async (speedup) => {
    observer.signal.throwIfAborted();
    observer.planned?.(1);
    const { begunShare } = await runner.run({ mode, seed, speedup, rows: false, decisions: false });
    return begunShare;
  }, base.load.speedup);
}

/** Seed 0 is the trace as it stands; intervals are over re-timings only. */
function seedsOf(count: number): readonly number[] {
  return count === 1 ? [0] : Array.from({ length: count }, (_, i) => i + 1);
}
