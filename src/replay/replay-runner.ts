import { begunShare } from './capacity.ts';
import type { ReplayJob } from './replay-job.ts';
import type { Report } from './report.ts';
import { requestRow } from './request-row.ts';
import { type ReplayParts, runReplay } from './run-replay.ts';

/** One replay of a job: a mode, a re-timing, a pace. */
export interface ReplayTask {
  readonly mode: string;
  readonly seed: number;
  readonly speedup: number;
  /** Also give every request as a line of JSON. */
  readonly rows: boolean;
}

export interface ReplayOutcome {
  readonly report: Report;
  /** Share of requests whose answer had begun when the last one arrived. */
  readonly begunShare: number;
  /** JSON lines, if they were asked for. */
  readonly rows: string | undefined;
}

/** Runs the replays of a job, here or in threads; takes any number of tasks at once. */
export interface ReplayRunner {
  run(task: ReplayTask): Promise<ReplayOutcome>;
  /** Ends what runs and refuses what waits, with this reason. */
  stop(reason?: unknown): Promise<void>;
}

/** Runs one task of a job. */
export async function runTask(
  { base, modes }: ReplayJob,
  { mode, seed, speedup, rows }: ReplayTask,
  parts: ReplayParts,
): Promise<ReplayOutcome> {
  const { router } = modes.find((each) => each.mode === mode)!;
  const load = { ...base.load, speedup };
  const { report, records } = await runReplay({ ...base, load, router, seed }, parts);
  const { dpSize } = base.engine;
  const lines = rows
    ? records.map((record) => `${JSON.stringify(requestRow(record, dpSize))}\n`).join('')
    : undefined;
  return { report, begunShare: begunShare(records), rows: lines };
}

/** Runs tasks in this thread, one after the other. */
export class LocalRunner implements ReplayRunner {
  readonly #job: ReplayJob;
  readonly #parts: ReplayParts;
  readonly #stop = new AbortController();
  #last: Promise<unknown> = Promise.resolve();

  constructor(job: ReplayJob, parts: ReplayParts) {
    this.#job = job;
    this.#parts = { ...parts, signal: this.#stop.signal };
  }

  run(task: ReplayTask): Promise<ReplayOutcome> {
    const outcome = this.#last.then(() => {
      this.#stop.signal.throwIfAborted();
      return runTask(this.#job, task, this.#parts);
    });
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  async stop(reason?: unknown): Promise<void> {
    this.#stop.abort(reason);
    await this.#last;
  }
}
