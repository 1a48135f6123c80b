import { Worker } from 'node:worker_threads';
import { type ErrorCode, type Facts, fail } from '../base/errors.ts';
import type { ReplayOutcome, ReplayRunner, ReplayTask } from '../replay/replay-runner.ts';
import type { ReplayCommandSettings } from './replay-setup.ts';

/** What a thread says of the task it was sent. */
export type ThreadAnswer =
  | { readonly kind: 'progress'; readonly ended: number }
  | { readonly kind: 'outcome'; readonly outcome: ReplayOutcome }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly facts: Facts };

interface Job {
  readonly task: ReplayTask;
  readonly resolve: (outcome: ReplayOutcome) => void;
  readonly reject: (reason: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
}

/** Runs replays in threads, each with its own copy of the trace; tasks wait in line for the next free one. */
export class ThreadRunner implements ReplayRunner {
  readonly #settings: ReplayCommandSettings;
  readonly #onProgress: (ended: number) => void;
  readonly #limit: number;
  readonly #threads: Thread[] = [];
  readonly #queue: Job[] = [];
  #stopped = false;

  constructor(threads: number, settings: ReplayCommandSettings, onProgress: (ended: number) => void) {
    this.#limit = threads;
    this.#settings = settings;
    this.#onProgress = onProgress;
  }

  run(task: ReplayTask): Promise<ReplayOutcome> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, resolve, reject });
      this.#dispatch();
    });
  }

  async stop(reason: unknown = fail('KV_INTERRUPTED', { signal: 'stop' })): Promise<void> {
    this.#stopped = true;
    for (const { reject } of this.#queue.splice(0)) reject(reason);
    for (const { job } of this.#threads) job?.reject(reason);
    await Promise.all(this.#threads.splice(0).map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    if (this.#stopped || this.#queue.length === 0) return;
    const thread = this.#threads.find(({ job }) => job === undefined) ?? this.#grow();
    if (thread === undefined) return;
    thread.job = this.#queue.shift()!;
    thread.worker.postMessage(thread.job.task);
  }

  #grow(): Thread | undefined {
    if (this.#threads.length >= this.#limit) return undefined;
    const worker = startThread(this.#settings);
    const thread: Thread = { worker, job: undefined };
    worker.on('message', (answer: ThreadAnswer) => this.#hear(thread, answer));
    worker.on('error', (cause) => thread.job?.reject(cause));
    this.#threads.push(thread);
    return thread;
  }

  #hear(thread: Thread, answer: ThreadAnswer): void {
    if (answer.kind === 'progress') {
      this.#onProgress(answer.ended);
      return;
    }
    const { job } = thread;
    thread.job = undefined;
    if (answer.kind === 'outcome') job?.resolve(answer.outcome);
    else job?.reject(fail(answer.code, answer.facts));
    this.#dispatch();
  }
}

/** The compiled thread, or its source where this file is run from source too. */
function startThread(settings: ReplayCommandSettings): Worker {
  const fromSource = import.meta.url.endsWith('.ts');
  const file = new URL(`./replay-thread.${fromSource ? 'ts' : 'js'}`, import.meta.url);
  return new Worker(file, { workerData: settings, execArgv: fromSource ? ['--import', 'tsx'] : [] });
}
