import type { CancelTimer, Clock } from '../../base/clock.ts';
import type { RouterObserver } from '../observer.ts';
import type { RouteRequest } from '../route-request.ts';
import { type Refusal, refuse } from '../select.ts';
import type { Selection } from '../selection.ts';
import { ClassQueue, type QueueEntry } from './class-queue.ts';
import { DeficitRoundRobin } from './deficit-round-robin.ts';
import { classOf, type PolicyClass, type QueueConfig } from './policy-classes.ts';
import { queueKey } from './queue-order.ts';

/** How a class's threshold stands against the ranks that may serve a request. */
export type Pressure = 'free' | 'busy' | 'ineligible';

export interface AdmissionQueueOptions {
  readonly clock: Clock;
  readonly config: QueueConfig;
  /** How often to look again without a cause. */
  readonly recheckMs: number;
  readonly pressure: (request: RouteRequest, policyClass: PolicyClass) => Pressure;
  /** Places and books at once. */
  readonly select: (request: RouteRequest) => Selection | Refusal;
  readonly workers: () => number;
  readonly observer: RouterObserver;
}

/** The size of a prompt that may have to wait. */
export interface QueuedPrompt {
  readonly isl: number;
  /** On the rank that has most of it. */
  readonly bestCachedTokens: number;
  /** Kept, so that the prompt is hashed once. */
  readonly hashes?: RouteRequest['hashes'];
}

interface Waiting extends QueueEntry {
  readonly request: RouteRequest;
  readonly arrivalMs: number;
  settle(outcome: Selection | Refusal): void;
}

/** Where even classes without limits end. */
const MAX_WAITING = 65_536;

/**
 * Holds requests back while all ranks that may serve them are busy with prompts. Who asks waits on a promise, and
 * leaves the queue the moment its signal aborts.
 */
export class AdmissionQueue {
  readonly #options: AdmissionQueueOptions;
  readonly #queues: readonly ClassQueue<Waiting>[];
  readonly #turns: DeficitRoundRobin;
  #order = 0;
  #waiting = 0;
  #draining = false;
  #cancelRecheck: CancelTimer | undefined;

  constructor(options: AdmissionQueueOptions) {
    this.#options = options;
    this.#queues = options.config.classes.map(() => new ClassQueue());
    this.#turns = new DeficitRoundRobin(options.config.classes.map(({ quantum }) => quantum));
  }

  get size(): number {
    return this.#waiting;
  }

  /** Places the request now, or when a rank has room; `measure` tells its size if that matters. */
  admit(
    request: RouteRequest,
    measure: () => QueuedPrompt,
    signal?: AbortSignal,
  ): Selection | Refusal | Promise<Selection | Refusal> {
    const { config, pressure, select } = this.#options;
    const sized = config.buckets.length > 0 ? measure() : undefined;
    const index = classOf(config, request.controls?.policyClass, sized === undefined ? 0 : uncachedOf(sized));
    const policyClass = config.classes[index]!;
    const queue = this.#queues[index]!;
    const state = pressure(request, policyClass);
    if (state === 'ineligible' || (state === 'free' && queue.size === 0)) return select(request);
    const prompt = sized ?? measure();
    const full = this.#fullReason(policyClass, queue, prompt);
    if (full === undefined) return this.#wait(request, index, prompt, state === 'free', signal);
    this.#options.observer.backpressure?.(policyClass.name, full);
    return refuse('queue_full', `the queue of class ${policyClass.name} is at its ${full} limit`);
  }

  /** Dispatches what can go now; call it whenever load or fleet changed. */
  drain(): void {
    if (this.#draining || this.#waiting === 0) return;
    this.#draining = true;
    try {
      for (let index = this.#nextClass(); index !== undefined; index = this.#nextClass())
        this.#dispatch(index);
    } finally {
      this.#draining = false;
    }
    if (this.#waiting === 0) this.#disarm();
  }

  /** Refuses everything that waits. */
  stop(): void {
    this.#disarm();
    for (const [index, queue] of this.#queues.entries())
      for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
        this.#left(index);
        entry.settle(refuse('no_workers', 'the router stopped'));
      }
  }

  #wait(
    request: RouteRequest,
    index: number,
    prompt: QueuedPrompt,
    drainNow: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Selection | Refusal> {
    const { clock, config } = this.#options;
    const { isl, bestCachedTokens } = prompt;
    const { priority = 0, strictPriority = 0 } = request.controls ?? {};
    const arrivalMs = clock.nowMs();
    const arrivalS = arrivalMs / 1000;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const entry: Waiting = {
        request: prompt.hashes === undefined ? request : { ...request, isl, hashes: prompt.hashes },
        strictPriority,
        key: queueKey(config.classes[index]!.queuePolicy, { priority, arrivalS, isl, bestCachedTokens }),
        order: this.#order++,
        arrivalMs,
        isl,
        cachedTokens: bestCachedTokens,
        cost: Math.max(1, uncachedOf(prompt)),
        settle: (outcome) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(unlessAborted(outcome, signal));
        },
      };
      const onAbort = (): void => {
        if (this.#queues[index]!.remove(entry)) {
          this.#left(index);
          this.#tellWait(index, arrivalMs, 'left');
        }
        reject(signal?.reason);
        this.drain();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queues[index]!.push(entry);
      this.#waiting++;
      this.#report(index);
      this.#arm();
      // It may overtake what waits for ranks that it does not need.
      if (drainNow) this.drain();
    });
  }

  #dispatch(index: number): void {
    const queue = this.#queues[index]!;
    const entry = queue.pop()!;
    this.#turns.paid(index, entry.cost, queue.size === 0);
    this.#left(index);
    const waitMs = this.#tellWait(index, entry.arrivalMs, 'placed');
    const outcome = this.#options.select(entry.request);
    if (outcome.kind === 'selected')
      outcome.decision.waited = { policyClass: this.#options.config.classes[index]!.name, waitMs };
    entry.settle(outcome);
  }

  /** The class whose turn it is, of those whose head may go. One that nobody can serve any more goes too, to be refused. */
  #nextClass(): number | undefined {
    const { config, pressure } = this.#options;
    const costs = this.#queues.map((queue, index) => {
      const head = queue.peek();
      if (head === undefined || pressure(head.request, config.classes[index]!) === 'busy') return undefined;
      return head.cost;
    });
    return this.#turns.next((index) => costs[index]);
  }

  #left(index: number): void {
    this.#waiting--;
    if (this.#queues[index]!.size === 0) this.#turns.emptied(index);
    if (this.#waiting === 0) this.#disarm();
    this.#report(index);
  }

  #fullReason(
    policyClass: PolicyClass,
    queue: ClassQueue<Waiting>,
    { isl, bestCachedTokens }: QueuedPrompt,
  ): string | undefined {
    const workers = this.#options.workers();
    const over = (limit: number | undefined, next: number): boolean =>
      limit !== undefined && next > limit * workers;
    if (this.#waiting >= MAX_WAITING || over(policyClass.requestLimitPerWorker, queue.size + 1))
      return 'request';
    if (over(policyClass.islLimitPerWorker, queue.islTokens + isl)) return 'raw ISL';
    if (over(policyClass.cachedTokenLimitPerWorker, queue.cachedTokens + bestCachedTokens))
      return 'cached token';
    return undefined;
  }

  #tellWait(index: number, arrivalMs: number, end: 'placed' | 'left'): number {
    const { clock, config, observer } = this.#options;
    const waitMs = clock.nowMs() - arrivalMs;
    observer.waited?.(config.classes[index]!.name, waitMs, end);
    return waitMs;
  }

  #report(index: number): void {
    const { islTokens, cachedTokens, size } = this.#queues[index]!;
    const policyClass = this.#options.config.classes[index]!.name;
    this.#options.observer.queueChanged?.({ policyClass, requests: size, islTokens, cachedTokens });
  }

  #arm(): void {
    if (this.#cancelRecheck !== undefined) return;
    const { clock, recheckMs } = this.#options;
    this.#cancelRecheck = clock.at(clock.nowMs() + recheckMs, () => {
      this.#cancelRecheck = undefined;
      this.drain();
      if (this.#waiting > 0) this.#arm();
    });
  }

  #disarm(): void {
    this.#cancelRecheck?.();
    this.#cancelRecheck = undefined;
  }
}

function uncachedOf({ isl, bestCachedTokens }: QueuedPrompt): number {
  return Math.max(0, isl - bestCachedTokens);
}

/** Frees what was booked for a caller that left between the booking and the answer. */
async function unlessAborted(
  outcome: Selection | Refusal,
  signal: AbortSignal | undefined,
): Promise<Selection | Refusal> {
  // Leaves the drain first: an abort that comes in the same turn of the event loop is seen here.
  await undefined;
  if (signal?.aborted !== true) return outcome;
  if (outcome.kind === 'selected') outcome.booking?.free('cancelled');
  throw signal.reason;
}
