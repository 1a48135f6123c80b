import type { CancelTimer, Clock } from '../base/clock.ts';
import { BlockHasher } from '../kv/hash.ts';
import { type AnswerTokens, drawnTokens, idRange } from './answer-tokens.ts';
import type { EngineSettings } from './engine-settings.ts';
import { EngineWorker, type WorkerPass } from './engine-worker.ts';
import { idleForwardPass } from './forward-pass.ts';
import type { ForwardPass, Output, PressureRecord, RankEvent, RankMetrics, TierTransfer } from './pass.ts';
import type { EngineRequest } from './prompt.ts';
import type { RankSnapshot } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** A request to a running engine. Ids must be unique among requests in flight. */
export interface LiveRequest extends EngineRequest {
  /** Rank that serves it; undefined: ranks take turns. */
  readonly dpRank?: number | undefined;
}

/** A request begins to run. */
export interface AdmissionNews {
  readonly atMs: number;
  /** Prompt tokens found in the cache, in whatever tier. */
  readonly cachedTokens: number;
  /** Those of them that were loaded from tiers below the device. */
  readonly loadedTokens: number;
}

/** Receives one request's answer; called at or after each time stamp, in order. */
export interface RequestSink {
  /** Called once, at the start of the first pass that serves it, before any token. */
  admitted?(admission: AdmissionNews): void;
  tokens(batch: TokenBatch): void;
  /** Called once, last; not after `cancel`. */
  finished(finish: Finish): void;
}

/** Tokens that came out of one pass. */
export interface TokenBatch {
  readonly tokenIds: Uint32Array;
  /** End of the pass on the engine's clock; a late timer does not move it. */
  readonly atMs: number;
}

export interface Finish {
  /** `length`: all tokens given; `rejected`: can never fit; `aborted`: the engine stopped first. */
  readonly reason: 'length' | 'rejected' | 'aborted';
  readonly atMs: number;
  /** Prompt tokens found in the cache at the first admission; undefined if there was none. */
  readonly cachedTokens: number | undefined;
  readonly outputTokens: number;
  /** Text for the client, on a rejection. */
  readonly message: string | undefined;
}

/**
 * Told at the end of every pass, per rank; arrays are valid during the call only. What nobody hears is not computed.
 */
export interface EngineListener {
  readonly kvEvents?: (rank: number, events: readonly RankEvent[], atMs: number) => void;
  readonly metrics?: (rank: number, metrics: RankMetrics, atMs: number) => void;
  readonly forwardPass?: (rank: number, figures: ForwardPass, atMs: number) => void;
  /** What was copied between storage tiers. */
  readonly transfers?: (rank: number, transfers: readonly TierTransfer[], atMs: number) => void;
  readonly pressure?: (rank: number, record: PressureRecord, atMs: number) => void;
}

export interface SimulatedEngineOptions {
  readonly settings: EngineSettings;
  readonly clock: Clock;
  readonly listener?: EngineListener;
  readonly hasher?: BlockHasher;
  /** Default: drawn by (seed, request id, position) from ids 1000 to 1999. */
  readonly answer?: AnswerTokens;
  /** Number of the worker in its fleet: parts the random streams. */
  readonly workerNumber?: number;
  /** Requests that come sooner wait. */
  readonly startupMs?: number;
}

export const REJECTION = 'request rejected: request exceeds worker admission limits';
const ABORTED = {
  reason: 'aborted',
  cachedTokens: undefined,
  outputTokens: 0,
  message: 'the engine stopped before the answer was complete',
} as const;
/** Passes computed in one go when timers come late, before other work gets its turn. */
const PASSES_PER_WAKE = 256;

interface Arrival {
  readonly request: LiveRequest;
  readonly sink: RequestSink;
  readonly atNs: number;
}

interface InFlight {
  readonly sequence: Sequence;
  readonly rank: number;
  readonly sink: RequestSink;
  admitted: boolean;
  /** Tokens handed to the sink so far: a pass under way has computed more. */
  given: number;
}

/**
 * A simulated engine on a clock. Passes follow each other on the engine's own time line, whose deadlines are
 * absolute: a late timer delays what is told, never what is reported. Requests join at the first pass that starts
 * at or after their arrival, as in virtual time.
 */
export class SimulatedEngine {
  readonly settings: EngineSettings;
  readonly #clock: Clock;
  readonly #originMs: number;
  readonly #readyNs: number;
  readonly #listener: EngineListener;
  readonly #worker: EngineWorker;
  readonly #arrivals: Arrival[] = [];
  readonly #inFlight = new Map<string, InFlight>();
  readonly #idleWaiters: (() => void)[] = [];
  #pass: WorkerPass | undefined;
  #timeNs = 0;
  #nextRank = 0;
  #cancelTimer: CancelTimer | undefined;
  #stopping = false;
  #stopped = false;

  constructor(options: SimulatedEngineOptions) {
    const { settings, clock } = options;
    this.settings = settings;
    this.#clock = clock;
    this.#originMs = clock.nowMs();
    this.#readyNs = Math.round((options.startupMs ?? 0) * 1e6);
    this.#listener = options.listener ?? {};
    this.#worker = new EngineWorker({
      settings,
      hasher: options.hasher ?? new BlockHasher(),
      answer: options.answer ?? drawnTokens(settings.seed, idRange(1000, 1000)),
      stream: options.workerNumber ?? 0,
      snapshots: settings.emitKvEvents,
    });
  }

  get ready(): boolean {
    return !this.#stopping && this.#nowNs() >= this.#readyNs;
  }

  /** Requests that have arrived and not finished. */
  get inFlight(): number {
    return this.#arrivals.length + this.#inFlight.size;
  }

  /** How far the time line is behind the clock: more than a few ms means that the simulation cannot keep up. */
  get lagMs(): number {
    if (this.#pass === undefined) return 0;
    return Math.max(0, (this.#nowNs() - this.#pass.endNs) / 1e6);
  }

  submit(request: LiveRequest, sink: RequestSink): void {
    if (this.#stopping) {
      sink.finished({ ...ABORTED, atMs: this.#clock.nowMs() });
      return;
    }
    this.#arrivals.push({ request, sink, atNs: Math.max(this.#nowNs(), this.#readyNs) });
    if (this.#pass === undefined) this.#wakeAt(this.#arrivals[0]!.atNs);
  }

  /** Drops a request at once: its sink hears nothing more. False if it is not in flight. */
  cancel(id: string): boolean {
    const at = this.#arrivals.findIndex(({ request }) => request.id === id);
    if (at >= 0) {
      this.#arrivals.splice(at, 1);
      this.#tellIfIdle();
      return true;
    }
    const entry = this.#inFlight.get(id);
    if (entry === undefined) return false;
    this.#inFlight.delete(id);
    this.#worker.ranks[entry.rank]!.cancel(entry.sequence);
    this.#tellIfIdle();
    return true;
  }

  /** State of a rank as of the last computed pass. */
  metrics(rank = 0): RankMetrics {
    return this.#worker.ranks[rank]!.metrics();
  }

  /** Empties the cache of every rank and tells so; false, and nothing done, while requests are in flight. */
  resetPrefixCache(): boolean {
    if (this.inFlight > 0 || this.#pass !== undefined) return false;
    for (const [rank, scheduler] of this.#worker.ranks.entries()) {
      const events = scheduler.clearCache() ?? [];
      if (events.length > 0) this.#listener.kvEvents?.(rank, events, this.#clock.nowMs());
    }
    return true;
  }

  /** All that a rank holds, as stored events, parents first. Needs `emitKvEvents`. */
  snapshot(rank = 0): RankSnapshot {
    return this.#worker.ranks[rank]!.snapshot();
  }

  /** Takes no more requests, lets those in flight finish for up to `graceMs`, then aborts the rest. */
  stop(graceMs = 0): Promise<void> {
    this.#stopping = true;
    return new Promise((resolve) => {
      const end = (): void => {
        this.#halt();
        resolve();
      };
      if (this.inFlight === 0 || graceMs <= 0) {
        end();
        return;
      }
      const cancelGrace = this.#clock.at(this.#clock.nowMs() + graceMs, end);
      this.#idleWaiters.push(() => {
        cancelGrace();
        end();
      });
    });
  }

  #halt(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#pass = undefined;
    this.#stopped = true;
    const atMs = this.#clock.nowMs();
    const running = [...this.#inFlight.values()];
    const queued = this.#arrivals.splice(0);
    this.#inFlight.clear();
    for (const { sink, sequence, given } of running)
      sink.finished({ ...ABORTED, atMs, cachedTokens: sequence.cachedTokens, outputTokens: given });
    for (const { sink } of queued) sink.finished({ ...ABORTED, atMs });
  }

  #nowNs(): number {
    return Math.round((this.#clock.nowMs() - this.#originMs) * 1e6);
  }

  #msOf(ns: number): number {
    return this.#originMs + ns / 1e6;
  }

  #wakeAt(ns: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.at(this.#msOf(ns), () => this.#wake());
  }

  /** Brings the time line up to the clock: ends passes that are due, admits arrivals, starts the next pass. */
  #wake(): void {
    this.#cancelTimer = undefined;
    for (let passes = 0; ; passes++) {
      if (this.#pass !== undefined) {
        if (this.#pass.endNs > this.#nowNs() || passes > PASSES_PER_WAKE) {
          this.#wakeAt(this.#pass.endNs);
          return;
        }
        this.#endPass(this.#pass);
        if (this.#stopped) return;
      }
      this.#admitArrivals();
      if (!this.#worker.hasWork) {
        const next = this.#arrivals[0];
        if (next !== undefined) this.#wakeAt(next.atNs);
        else this.#tellIfIdle();
        return;
      }
      this.#pass = this.#worker.pass(this.#timeNs);
      this.#tellAdmissions(this.#pass);
    }
  }

  #tellAdmissions({ ranks, startNs }: WorkerPass): void {
    for (const { pass } of ranks) {
      for (const { sequence, reusedTokens, loadedTokens } of pass.admissions) {
        const entry = this.#inFlight.get(sequence.id);
        if (entry === undefined || entry.sequence !== sequence || entry.admitted) continue;
        entry.admitted = true;
        entry.sink.admitted?.({ atMs: this.#msOf(startNs), cachedTokens: reusedTokens, loadedTokens });
      }
    }
  }

  /** Hands over what has arrived by the current point of the time line, which an idle engine moves up. */
  #admitArrivals(): void {
    const first = this.#arrivals[0];
    if (first === undefined) return;
    if (!this.#worker.hasWork && first.atNs <= this.#nowNs())
      this.#timeNs = Math.max(this.#timeNs, first.atNs);
    let taken = 0;
    for (const { request, sink, atNs } of this.#arrivals) {
      if (atNs > this.#timeNs) break;
      taken++;
      const rank = request.dpRank ?? this.#nextRank++ % this.#worker.ranks.length;
      const sequence = this.#worker.ranks[rank]!.submit(request);
      this.#inFlight.set(request.id, { sequence, rank, sink, admitted: false, given: 0 });
    }
    this.#arrivals.splice(0, taken);
  }

  #endPass(group: WorkerPass): void {
    this.#pass = undefined;
    this.#timeNs = group.endNs;
    const atMs = this.#msOf(group.endNs);
    for (const { rank, pass } of group.ranks) {
      if (pass.events.length > 0) this.#listener.kvEvents?.(rank, pass.events, atMs);
      if (pass.transfers.length > 0) this.#listener.transfers?.(rank, pass.transfers, atMs);
      for (const record of pass.pressure) this.#listener.pressure?.(rank, record, atMs);
    }
    for (const { pass } of group.ranks) for (const output of pass.outputs) this.#give(output, atMs);
    if (this.#listener.metrics === undefined && this.#listener.forwardPass === undefined) return;
    const durationMs = (group.endNs - group.startNs) / 1e6;
    for (const [rank, scheduler] of this.#worker.ranks.entries()) {
      const took = group.ranks.some((entry) => entry.rank === rank);
      if (took) this.#listener.metrics?.(rank, scheduler.metrics(), atMs);
      this.#listener.forwardPass?.(rank, took ? scheduler.forwardPass() : idleForwardPass(durationMs), atMs);
    }
  }

  #give(output: Output, atMs: number): void {
    const { sequence, first, count, completed, rejected } = output;
    const entry = this.#inFlight.get(sequence.id);
    if (entry?.sequence !== sequence) return;
    if (completed) this.#inFlight.delete(sequence.id);
    entry.given += count;
    if (count > 0) entry.sink.tokens({ tokenIds: sequence.answerTokens(first, count), atMs });
    if (!completed) return;
    entry.sink.finished({
      reason: rejected ? 'rejected' : 'length',
      atMs,
      cachedTokens: sequence.cachedTokens,
      outputTokens: entry.given,
      message: rejected ? REJECTION : undefined,
    });
  }

  #tellIfIdle(): void {
    if (this.inFlight > 0) return;
    for (const tell of this.#idleWaiters.splice(0)) tell();
  }
}
