import type { CancelTimer, Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { Heap } from '../base/heap.ts';
import { BodyQueue } from './body-queue.ts';
import { LoopWatch } from './loop-watch.ts';
import { type LoadPlan, type PlannedSession, plannedRequests } from './plan.ts';
import type { Answer, GeneratorHealth, RequestRecord } from './record.ts';
import type { RunOptions } from './run-load.ts';
import type { LoadTarget } from './target.ts';

/** A turn and when it is due; `order` keeps equal times in order of creation. */
interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly session: PlannedSession;
  readonly turn: number;
  /** When it began to wait for a place in flight. */
  queuedMs?: number;
}

/** What a sender gives back. */
interface SentPlan {
  readonly records: readonly RequestRecord[];
  readonly originWallMs: number;
  readonly health: GeneratorHealth;
  /** The plan was cut short. */
  readonly interrupted: boolean;
}

const DEFAULT_MAX_IN_FLIGHT = 10_000;

/** Drives one plan: what is due when, what waits, what is in flight. Used once. */
export class Sender {
  readonly #plan: LoadPlan;
  readonly #target: LoadTarget;
  readonly #clock: Clock;
  readonly #options: RunOptions;
  readonly #bodies: BodyQueue;
  readonly #stop = new AbortController();
  readonly #records: RequestRecord[] = [];
  readonly #due = new Heap<Due>((a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order));
  readonly #waiting: Due[] = [];
  readonly #planned: number;
  #originMs = 0;
  #nextSession = 0;
  #order = 0;
  #sent = 0;
  #inFlight = 0;
  #openSessions = 0;
  #timer: CancelTimer = () => {};
  /** No more sending: the plan was cut short, and the run ends when nothing is in flight. */
  #closed = false;
  #finish: () => void = () => {};

  constructor(plan: LoadPlan, target: LoadTarget, clock: Clock, options: RunOptions) {
    this.#plan = plan;
    this.#target = target;
    this.#clock = clock;
    this.#options = options;
    this.#bodies = new BodyQueue(plan, target);
    this.#planned = plannedRequests(plan);
  }

  /** Builds the first bodies, then starts the clock and sends. */
  async run(): Promise<SentPlan> {
    const { signal } = this.#options;
    await this.#bodies.fill(signal);
    this.#originMs = this.#clock.nowMs();
    const originWallMs = this.#clock.wallMs();
    const watch = new LoopWatch(this.#clock);
    const onAbort = (): void => {
      this.#stop.abort();
      this.#close();
    };
    let cancelLimit: CancelTimer = () => {};
    await new Promise<void>((resolve) => {
      this.#finish = resolve;
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      const { maxDurationMs } = this.#plan;
      if (maxDurationMs !== undefined) {
        cancelLimit = this.#clock.at(this.#originMs + maxDurationMs, () => this.#close());
      }
      this.#admit();
      this.#pump();
    });
    cancelLimit();
    signal?.removeEventListener('abort', onAbort);
    this.#timer();
    this.#bodies.stop();
    return {
      records: this.#records,
      originWallMs,
      health: watch.stop(),
      interrupted: this.#closed && this.#records.length < this.#planned,
    };
  }

  #now(): number {
    return this.#clock.nowMs() - this.#originMs;
  }

  /** Puts sessions into the queue: all of an open loop, as many as there are slots of a closed one. */
  #admit(): void {
    const slots = this.#plan.loop === 'open' ? Number.POSITIVE_INFINITY : (this.#plan.concurrency ?? 1);
    while (this.#openSessions < slots && this.#nextSession < this.#plan.sessions.length) {
      const session = this.#plan.sessions[this.#nextSession++]!;
      this.#openSessions++;
      const atMs = this.#plan.loop === 'open' ? session.atMs : Math.max(0, this.#now());
      this.#due.push({ atMs, order: this.#order++, session, turn: 0 });
    }
  }

  /** Sends all that is due and arms the timer for the next. */
  #pump(): void {
    this.#timer();
    let next = this.#closed ? undefined : this.#due.peek();
    while (next !== undefined && next.atMs <= this.#now()) {
      this.#due.pop();
      this.#arrive(next);
      next = this.#due.peek();
    }
    if (next !== undefined) this.#timer = this.#clock.at(this.#originMs + next.atMs, () => this.#pump());
    else if (this.#inFlight === 0 && this.#waiting.length === 0) this.#finish();
  }

  #arrive(due: Due): void {
    const { loop, concurrency = Number.POSITIVE_INFINITY, maxInFlight = DEFAULT_MAX_IN_FLIGHT } = this.#plan;
    if (loop === 'open' && this.#inFlight >= concurrency) {
      due.queuedMs ??= this.#now();
      this.#waiting.push(due);
    } else if (loop === 'open' && this.#inFlight >= maxInFlight) this.#drop(due);
    else void this.#send(due);
  }

  async #send(due: Due): Promise<void> {
    const { request } = due.session.turns[due.turn]!;
    this.#inFlight++;
    this.#sent++;
    let answer: Answer;
    try {
      answer = await this.#target.send(this.#bodies.take(request), () => this.#now(), this.#stop.signal);
    } catch (thrown) {
      answer = { outcome: 'failed', ...nothing(this.#now(), toError(thrown).message) };
    }
    this.#inFlight--;
    this.#record(due, answer);
    this.#release(due, answer.endMs);
    const waiting = this.#closed ? undefined : this.#waiting.shift();
    if (waiting !== undefined) this.#arrive(waiting);
    this.#pump();
  }

  #drop(due: Due): void {
    const nowMs = this.#now();
    this.#record(due, {
      outcome: 'dropped',
      ...nothing(nowMs, `dropped: ${this.#inFlight} requests in flight`),
    });
    this.#release(due, nowMs);
  }

  #record(due: Due, seen: Omit<Answer, 'outcome'> & Pick<RequestRecord, 'outcome'>): void {
    const { request } = due.session.turns[due.turn]!;
    const intendedMs = this.#plan.loop === 'open' ? due.atMs : undefined;
    const record: RequestRecord = {
      id: request.id,
      index: request.index,
      sessionId: due.session.id,
      turn: due.turn,
      phase: request.phase,
      inputLength: request.inputLength,
      outputLength: request.outputLength,
      intendedMs,
      waitedMs: due.queuedMs === undefined ? undefined : seen.sentMs - due.queuedMs,
      ...seen,
    };
    this.#records.push(record);
    this.#options.onRecord?.(record, {
      planned: this.#planned,
      sent: this.#sent,
      ended: this.#records.length,
      inFlight: this.#inFlight,
    });
  }

  /** Queues what waited for the end of a turn: its session's next turn, or the next session of a closed loop. */
  #release(due: Due, endMs: number): void {
    const next = due.session.turns[due.turn + 1];
    if (next !== undefined) {
      if (next.delayMs > 0) this.#bodies.soon(next.request);
      const atMs = endMs + next.delayMs;
      this.#due.push({ atMs, order: this.#order++, session: due.session, turn: due.turn + 1 });
      return;
    }
    this.#openSessions--;
    if (this.#plan.loop === 'closed') this.#admit();
  }

  #close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#pump();
  }
}

function nothing(nowMs: number, error: string): Omit<Answer, 'outcome'> {
  return { sentMs: nowMs, endMs: nowMs, chunkMs: [], chunkTokens: [], tokenSource: 'one-each', error };
}
