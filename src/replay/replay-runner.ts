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
  /** Also give every routing decision, and what came of it, as a line of JSON. */
  readonly decisions: boolean;
}

export interface ReplayOutcome {
  readonly report: Report;
  /** Share of requests whose answer had begun when the last one arrived. */
  readonly begunShare: number;
  /** JSON lines, if they were asked for. */
  readonly rows: string | undefined;
  readonly decisions: string | undefined;
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
  { mode, seed, speedup, ...wanted }: ReplayTask,
  parts: ReplayParts,
): Promise<ReplayOutcome> {
  const { router } = modes.find((each) => each.mode === mode)!;
  const load = { ...base.load, speedup };
  const decided: string[] = [];
  const onDecision = wanted.decisions ? (line: string) => void decided.push(`${line}\n`) : undefined;
  const { report, records } = await runReplay({ ...base, load, router, seed }, { ...parts, onDecision });
  const { dpSize } = base.engine;
  const rows = wanted.rows
    ? records.map((record) => `${JSON.stringify(requestRow(record, dpSize))}\n`).join('')
    : undefined;
  const decisions = wanted.decisions ? decided.join('') : undefined;
  return { report, begunShare: begunShare(records), rows, decisions };
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
