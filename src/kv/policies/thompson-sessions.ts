/** A conversation as its last decision left it. */
export interface Session {
  readonly worker: string;
  readonly reuseRemaining: number;
  readonly decodeCost: number;
  readonly prefillCost: number;
  readonly iatFactor: number;
  /** Clock seconds after which it counts as abandoned. */
  readonly expiresS: number;
}

interface Outstanding {
  work: number;
  sessions: number;
}

/** Who serves which conversation, and how much work that promises each worker; the oldest go when there are too many. */
export class Sessions {
  readonly #byPrefix = new Map<string, Session>();
  readonly #byWorker = new Map<string, Outstanding>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byPrefix.size;
  }

  find(prefixId: string): Session | undefined {
    return this.#byPrefix.get(prefixId);
  }

  /** Expected work of a worker's conversations: sum of calls left x (decode + prefill cost) x interarrival factor. */
  outstanding(worker: string): number {
    return this.#byWorker.get(worker)?.work ?? 0;
  }

  store(prefixId: string, session: Session): void {
    this.remove(prefixId);
    this.#byPrefix.set(prefixId, session);
    const total = this.#byWorker.get(session.worker) ?? { work: 0, sessions: 0 };
    total.work += workOf(session);
    total.sessions++;
    this.#byWorker.set(session.worker, total);
    if (this.#byPrefix.size > this.#limit) this.remove(this.#byPrefix.keys().next().value!);
  }

  remove(prefixId: string): void {
    const session = this.#byPrefix.get(prefixId);
    if (session === undefined) return;
    this.#byPrefix.delete(prefixId);
    const total = this.#byWorker.get(session.worker)!;
    total.work -= workOf(session);
    // Starting over at 0 keeps rounding errors from adding up for ever.
    if (--total.sessions === 0) this.#byWorker.delete(session.worker);
  }

  /** Drops what expired; linear in the number of conversations. */
  expire(nowS: number): void {
    for (const [prefixId, { expiresS }] of this.#byPrefix) if (expiresS <= nowS) this.remove(prefixId);
  }
}

function workOf({ reuseRemaining, decodeCost, prefillCost, iatFactor }: Session): number {
  return reuseRemaining * (decodeCost + prefillCost) * iatFactor;
}
