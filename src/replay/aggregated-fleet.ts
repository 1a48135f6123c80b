import type { VirtualClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { Heap } from '../base/heap.ts';
import type { AnswerTokens } from '../engine/answer-tokens.ts';
import { drawnTokens, idRange } from '../engine/answer-tokens.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import { EngineWorker, type WorkerPass } from '../engine/engine-worker.ts';
import type { Prompt } from '../engine/prompt.ts';
import type { BlockHasher } from '../kv/hash.ts';
import { Arrivals, type LoadOptions } from './arrivals.ts';
import type { Placement, Target } from './placement.ts';
import { newRecord, type RequestRecord } from './record.ts';
import { type RecordedRequest, Recorder, recordOf } from './recorder.ts';
import { promptOf, type Workload, type WorkloadRequest } from './workload.ts';

export interface FleetOptions {
  readonly workload: Workload;
  readonly load: LoadOptions;
  readonly engine: EngineSettings;
  readonly workers: number;
  readonly placement: Placement;
  readonly hasher: BlockHasher;
  /** Moved along with the replay, for a placement that reads time. */
  readonly clock?: VirtualClock | undefined;
  /** Ends the replay early, requests under way unfinished; ms of virtual time. */
  readonly maxSimTimeMs?: number | undefined;
  /** Called now and then. */
  readonly onProgress?: ((ended: number, nowNs: number) => void) | undefined;
}

interface SimWorker {
  readonly engine: EngineWorker;
  /** The pass under way; undefined during a decode run, which has nothing left to do at its end. */
  pass: WorkerPass | undefined;
  busy: boolean;
}

interface Completion {
  readonly atNs: number;
  readonly order: number;
  readonly worker: number;
}

const PROGRESS_EVERY = 64;

/**
 * Workers of one kind in virtual time. At one instant: passes end, requests arrive, idle workers start, until
 * nothing changes; an arrival at the very end of a pass joins the next one.
 */
export class AggregatedFleet {
  readonly recorder = new Recorder();
  readonly #options: FleetOptions;
  readonly #arrivals: Arrivals;
  readonly #workers: readonly SimWorker[];
  readonly #completions = new Heap<Completion>(
    (a, b) => a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order),
  );
  #order = 0;
  #ended = 0;
  #nowNs = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#arrivals = new Arrivals(options.workload, options.load);
    const answer: AnswerTokens = drawnTokens(options.engine.seed, idRange(0, 32_768));
    this.#workers = Array.from({ length: options.workers }, (_, stream) => ({
      engine: new EngineWorker({
        settings: options.engine,
        hasher: options.hasher,
        answer,
        stream,
        snapshots: false,
      }),
      pass: undefined,
      busy: false,
    }));
  }

  get nowNs(): number {
    return this.#nowNs;
  }

  /** Runs to the end of the workload, or to the time limit; pauses only for a placement that queues. */
  async run(): Promise<void> {
    const limitNs = (this.#options.maxSimTimeMs ?? Number.POSITIVE_INFINITY) * 1e6;
    for (;;) {
      const next = Math.min(
        this.#arrivals.nextNs,
        this.#completions.peek()?.atNs ?? Number.POSITIVE_INFINITY,
      );
      if (!Number.isFinite(next) || next > limitNs) break;
      this.#nowNs = next;
      this.#options.clock?.advanceTo(next / 1e6);
      while (this.#settle()) if (this.#options.placement.mayQueue) await this.#options.placement.settled();
    }
    const total = this.#options.workload.requests.length;
    if (this.#ended < total && !Number.isFinite(limitNs))
      throw fail('KV_INTERNAL', {
        reason: `the replay came to a halt with ${total - this.#ended} requests left`,
      });
  }

  /** Handles what is due at this instant; true if anything was. */
  #settle(): boolean {
    let changed = false;
    for (
      let due = this.#completions.peek();
      due !== undefined && due.atNs <= this.#nowNs;
      due = this.#completions.peek()
    ) {
      this.#completions.pop();
      this.#complete(due.worker);
      changed = true;
    }
    for (
      let due = this.#arrivals.take(this.#nowNs);
      due !== undefined;
      due = this.#arrivals.take(this.#nowNs)
    ) {
      this.#arrive(due.request, due.atNs);
      changed = true;
    }
    for (let worker = 0; worker < this.#workers.length; worker++) {
      const { busy, engine } = this.#workers[worker]!;
      if (busy || !engine.hasWork) continue;
      this.#drive(worker);
      changed = true;
    }
    return changed;
  }

  #arrive(request: WorkloadRequest, atNs: number): void {
    const record = newRecord(request, atNs, false);
    this.recorder.records.push(record);
    const prompt = promptOf(request, this.#options.workload.traceBlockSize);
    this.#options.placement.place(request, prompt, {
      send: (target) => this.#send(record, prompt, target),
      refuse: () => {
        record.status = 'failed';
        record.terminalNs = this.#nowNs;
        this.#end(record);
      },
    });
  }

  #send(record: RequestRecord, prompt: Prompt, { worker, dpRank, overlapTokens }: Target): void {
    const { request, arrivalNs } = record;
    record.routing.push({
      pool: 'agg',
      outcome: this.#nowNs === arrivalNs ? 'immediate' : 'queued',
      enteredAtNs: arrivalNs,
      releasedAtNs: this.#nowNs,
      worker,
      dpRank,
      overlapTokens,
    });
    const engineRequest: RecordedRequest = {
      id: String(request.index),
      prompt,
      maxOutputTokens: request.outputLength,
      plannedTokens: request.plannedTokens,
      record,
    };
    this.#workers[worker]!.engine.ranks[dpRank]!.submit(engineRequest);
  }

  #drive(number: number): void {
    const worker = this.#workers[number]!;
    const run = worker.engine.decodeRun(this.#nowNs, this.#horizonNs(number));
    worker.busy = true;
    if (run !== undefined) {
      this.recorder.receivedRun(run);
      worker.pass = undefined;
      this.#completions.push({ atNs: run.times.at(-1)!, order: this.#order++, worker: number });
      return;
    }
    const pass = worker.engine.pass(this.#nowNs);
    this.#checkEffect(pass);
    worker.pass = pass;
    for (const { pass: rankPass } of pass.ranks) {
      for (const { sequence, reusedTokens } of rankPass.admissions)
        this.recorder.admitted(recordOf(sequence), 'agg', this.#nowNs, reusedTokens);
      for (const record of rankPass.pressure) this.recorder.pressed(record, this.#nowNs);
    }
    this.#completions.push({ atNs: pass.endNs, order: this.#order++, worker: number });
  }

  /** Until when a worker may run ahead of the others without missing a request. */
  #horizonNs(number: number): number {
    const next = this.#arrivals.nextNs;
    if (!this.#arrivals.dependOnEnds && !this.#options.placement.mayQueue) return next;
    // Another worker that is about to start could end a request first.
    for (let other = number + 1; other < this.#workers.length; other++) {
      const { busy, engine } = this.#workers[other]!;
      if (!busy && engine.hasWork) return this.#nowNs;
    }
    return Math.min(next, this.#completions.peek()?.atNs ?? Number.POSITIVE_INFINITY);
  }

  #checkEffect(pass: WorkerPass): void {
    if (pass.endNs > pass.startNs) return;
    if (pass.ranks.some(({ pass: { outputs, admissions } }) => outputs.length > 0 || admissions.length > 0))
      return;
    throw fail('KV_INTERNAL', {
      reason: `a pass at ${pass.startNs / 1e6} ms took no time and had no effect: the engine is stuck`,
    });
  }

  #complete(number: number): void {
    const worker = this.#workers[number]!;
    const { pass } = worker;
    worker.busy = false;
    worker.pass = undefined;
    if (pass === undefined) return;
    const { placement } = this.#options;
    for (const { rank, pass: rankPass } of pass.ranks)
      if (rankPass.events.length > 0) placement.kvEvents(number, rank, rankPass.events);
    for (const { pass: rankPass } of pass.ranks) {
      for (const output of rankPass.outputs) {
        const record = recordOf(output.sequence);
        const isFirst = record.firstTokenNs === undefined && output.count > 0;
        this.recorder.received(record, output, pass.endNs);
        if (isFirst) placement.prefilled(record.request);
        if (output.completed) this.#end(record);
      }
    }
  }

  #end(record: RequestRecord): void {
    this.#options.placement.ended(record.request);
    this.#arrivals.ended(record.request, this.#nowNs);
    this.#ended++;
    if (this.#ended % PROGRESS_EVERY === 0) this.#options.onProgress?.(this.#ended, this.#nowNs);
  }
}
