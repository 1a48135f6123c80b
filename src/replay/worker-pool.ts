import { fail } from '../base/errors.ts';
import type { EngineWorker, WorkerPass } from '../engine/engine-worker.ts';
import type { Output, RankEvent } from '../engine/pass.ts';
import type { Scheduler } from '../engine/scheduler.ts';
import { type Recorder, recordOf } from './recorder.ts';
import type { VirtualTime } from './virtual-time.ts';

export type PoolName = 'agg' | 'prefill' | 'decode';

export interface WorkerPoolOptions {
  readonly name: PoolName;
  readonly engines: readonly EngineWorker[];
  readonly time: VirtualTime;
  readonly recorder: Recorder;
  /** Earliest instant at which a request could come that is not known yet; `othersDue`: another may start now. */
  readonly horizonNs: (othersDue: boolean) => number;
  /** One request's share of a pass that ended. */
  readonly onOutput: (output: Output, atNs: number, worker: number, rank: number) => void;
  /** A pass has ended: the worker may take commands. Comes before those that waited for it. */
  readonly onFree?: (worker: number) => void;
  readonly onEvents: (worker: number, rank: number, events: readonly RankEvent[]) => void;
}

interface PoolWorker {
  readonly engine: EngineWorker;
  busy: boolean;
  /** Commands that came during a pass, to be run at its end. */
  readonly inbox: (() => void)[];
}

/** Simulated workers of one role. A pass is computed when it starts; what it did is told when it ends. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #workers: readonly PoolWorker[];

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#workers = options.engines.map((engine) => ({ engine, busy: false, inbox: [] }));
  }

  rank(worker: number, dpRank: number): Scheduler {
    return this.#workers[worker]!.engine.ranks[dpRank]!;
  }

  isBusy(worker: number): boolean {
    return this.#workers[worker]!.busy;
  }

  /** Runs a command on a worker now, or at the end of the pass it is in. */
  command(worker: number, run: () => void): void {
    const { busy, inbox } = this.#workers[worker]!;
    if (busy) inbox.push(run);
    else run();
  }

  /** Starts passes on idle workers that have work, in order; true if any started. */
  drive(): boolean {
    let started = false;
    for (const [number, worker] of this.#workers.entries()) {
      if (worker.busy || !worker.engine.hasWork) continue;
      this.#start(number, worker);
      started = true;
    }
    return started;
  }

  #start(number: number, worker: PoolWorker): void {
    const { time, recorder, horizonNs } = this.#options;
    const othersDue = this.#workers.some(
      ({ busy, engine }, other) => other > number && !busy && engine.hasWork,
    );
    const run = worker.engine.decodeRun(time.nowNs, horizonNs(othersDue));
    worker.busy = true;
    if (run !== undefined) {
      recorder.receivedRun(run);
      time.at(run.times.at(-1)!, () => this.#free(number, worker));
      return;
    }
    const pass = worker.engine.pass(time.nowNs);
    checkEffect(pass);
    this.#recordStart(pass);
    time.at(pass.endNs, () => this.#end(number, worker, pass));
  }

  #recordStart(group: WorkerPass): void {
    const { recorder, name } = this.#options;
    for (const { pass } of group.ranks) {
      for (const { sequence, reusedTokens } of pass.admissions)
        recorder.admitted(recordOf(sequence), name, group.startNs, reusedTokens);
      for (const record of pass.pressure) recorder.pressed(record, group.startNs);
    }
  }

  #end(number: number, worker: PoolWorker, group: WorkerPass): void {
    const { onEvents, onOutput } = this.#options;
    for (const { rank, pass } of group.ranks) if (pass.events.length > 0) onEvents(number, rank, pass.events);
    for (const { rank, pass } of group.ranks)
      for (const output of pass.outputs) onOutput(output, group.endNs, number, rank);
    this.#free(number, worker);
  }

  #free(number: number, worker: PoolWorker): void {
    worker.busy = false;
    this.#options.onFree?.(number);
    for (const run of worker.inbox.splice(0)) run();
  }
}

function checkEffect(group: WorkerPass): void {
  if (group.endNs > group.startNs) return;
  if (group.ranks.some(({ pass }) => pass.outputs.length > 0 || pass.admissions.length > 0)) return;
  throw fail('KV_INTERNAL', {
    reason: `a pass at ${group.startNs / 1e6} ms took no time and had no effect: the engine is stuck`,
  });
}
