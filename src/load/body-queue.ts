import type { LoadPlan, PlannedRequest } from './plan.ts';
import type { LoadTarget, PreparedRequest } from './target.ts';

// Bodies built ahead: enough for a burst, little enough for memory.
const MAX_REQUESTS = 256;
const MAX_BYTES = 64 * 2 ** 20;

/** Builds bodies ahead of their due times, one per turn of the event loop, so that sending is cheap. */
export class BodyQueue {
  readonly #target: LoadTarget;
  readonly #ready = new Map<number, PreparedRequest>();
  /** First turns come in the order of the plan; later ones are asked for when their turn before has ended. */
  readonly #plan: LoadPlan;
  readonly #soon: PlannedRequest[] = [];
  readonly #sent = new Set<number>();
  #nextSession = 0;
  #bytes = 0;
  #scheduled: NodeJS.Immediate | undefined;

  constructor(plan: LoadPlan, target: LoadTarget) {
    this.#plan = plan;
    this.#target = target;
  }

  /** Builds as many as may be held, before the clock of the run starts. */
  async fill(signal: AbortSignal | undefined): Promise<void> {
    while (this.#hasRoom() && this.#hasMore() && signal?.aborted !== true) {
      this.#buildNext();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Builds this one next. */
  soon(request: PlannedRequest): void {
    this.#soon.push(request);
    this.#schedule();
  }

  /** The body of a request that is due now: ready, or built on the spot. */
  take(request: PlannedRequest): PreparedRequest {
    const ready = this.#ready.get(request.index);
    if (ready === undefined) {
      this.#sent.add(request.index);
      return this.#target.prepare(request);
    }
    this.#ready.delete(request.index);
    this.#bytes -= ready.body.length;
    this.#schedule();
    return ready;
  }

  stop(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    this.#ready.clear();
  }

  #hasRoom(): boolean {
    return this.#ready.size < MAX_REQUESTS && this.#bytes < MAX_BYTES;
  }

  #hasMore(): boolean {
    return this.#soon.length > 0 || this.#nextSession < this.#plan.sessions.length;
  }

  #schedule(): void {
    if (this.#scheduled !== undefined || !this.#hasRoom() || !this.#hasMore()) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      this.#buildNext();
      this.#schedule();
    });
  }

  #buildNext(): void {
    const request = this.#soon.shift() ?? this.#plan.sessions[this.#nextSession++]?.turns[0]?.request;
    // One that was due before its body could be built needs none any more.
    if (request === undefined || this.#sent.delete(request.index)) return;
    const prepared = this.#target.prepare(request);
    this.#ready.set(request.index, prepared);
    this.#bytes += prepared.body.length;
  }
}
