import { type Clock, RealClock } from '../base/clock.ts';
import { type LoadPlan, plannedRequests } from './plan.ts';
import type { LoadRun, RequestRecord } from './record.ts';
import { Sender } from './sender.ts';
import type { LoadTarget } from './target.ts';

export interface LoadProgress {
  readonly planned: number;
  readonly sent: number;
  readonly ended: number;
  readonly inFlight: number;
}

export interface RunOptions {
  /** Ends the run: what is in flight is cancelled, and what has been seen so far is returned. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Called with every record as it is complete. */
  readonly onRecord?: ((record: RequestRecord, progress: LoadProgress) => void) | undefined;
}

/**
 * Sends a plan to a target and returns what was seen. Deadlines are absolute, from one origin: a late request never
 * moves the next. Never rejects for what the server does.
 */
export async function runLoad(
  plan: LoadPlan,
  target: LoadTarget,
  options: RunOptions = {},
): Promise<LoadRun> {
  const clock = options.clock ?? new RealClock();
  const { records, originWallMs, health, interrupted } = await new Sender(plan, target, clock, options).run();
  return {
    records,
    loop: plan.loop,
    concurrency: plan.concurrency,
    planned: plannedRequests(plan),
    originWallMs,
    durationMs: lastEnd(records),
    interrupted,
    health,
  };
}

function lastEnd(records: readonly RequestRecord[]): number {
  let last = 0;
  for (const record of records) last = Math.max(last, record.endMs);
  return last;
}
