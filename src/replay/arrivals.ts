import { Heap } from '../base/heap.ts';
import type { Workload, WorkloadRequest, WorkloadSession } from './workload.ts';

/** How fast and in what way a workload is sent. */
export interface LoadOptions {
  /** Divides arrival times and delays. */
  readonly speedup: number;
  /**
   * Closed loop: at most so many sessions at once (a session of one turn is a request), each next one starting
   * when one ends; arrival times are ignored. Undefined: open loop.
   */
  readonly maxInFlight: number | undefined;
}

interface Arrival {
  readonly atNs: number;
  readonly order: number;
  readonly request: WorkloadRequest;
}

/** When requests come: first turns by time or as others end, later turns after the ones before them. */
export class Arrivals {
  readonly #load: LoadOptions;
  readonly #pending = new Heap<Arrival>(
    (a, b) => a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order),
  );
  readonly #sessions: readonly WorkloadSession[];
  #started = 0;
  #order: number;
  /** Turns of started and unstarted sessions that no event has made ready yet. */
  #dependent: number;

  constructor(workload: Workload, load: LoadOptions) {
    this.#load = load;
    this.#sessions = workload.sessions;
    this.#order = workload.requests.length;
    this.#dependent = workload.requests.length;
    if (load.maxInFlight === undefined) {
      for (const session of workload.sessions) this.#startNext(toNs(session.arrivalMs / load.speedup));
    } else {
      for (let i = 0; i < load.maxInFlight; i++) this.#startNext(0);
    }
  }

  /** Instant of the next arrival known so far; infinite when there is none. */
  get nextNs(): number {
    return this.#pending.peek()?.atNs ?? Number.POSITIVE_INFINITY;
  }

  /** Whether the end of a request can bring further arrivals. */
  get dependOnEnds(): boolean {
    return this.#dependent > 0;
  }

  /** The next request if it has arrived by `nowNs`. */
  take(nowNs: number): { readonly request: WorkloadRequest; readonly atNs: number } | undefined {
    if (this.nextNs > nowNs) return undefined;
    return this.#pending.pop();
  }

  /** A request ended, in whatever way: its session's next turn, or the next session, becomes ready. */
  ended({ session, turn }: WorkloadRequest, nowNs: number): void {
    const next = session.turns[turn + 1];
    if (next !== undefined) this.#push(next, nowNs + toNs(next.delayMs / this.#load.speedup), this.#order++);
    else if (this.#load.maxInFlight !== undefined) this.#startNext(nowNs);
  }

  #startNext(atNs: number): void {
    const first = this.#sessions[this.#started++]?.turns[0];
    if (first !== undefined) this.#push(first, atNs, first.index);
  }

  #push(request: WorkloadRequest, atNs: number, order: number): void {
    this.#dependent--;
    this.#pending.push({ atNs, order, request });
  }
}

function toNs(ms: number): number {
  return Math.round(ms * 1e6);
}
