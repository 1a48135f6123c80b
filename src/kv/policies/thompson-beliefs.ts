import type { FleetMember } from './thompson-fleet.ts';
import { LinearModel } from './thompson-linear.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';
import { FEATURE_NAMES } from './thompson-scores.ts';

/** What is believed of one worker: a linear model of its rewards, and a Beta law of them whatever the request. */
export interface WorkerBelief extends FleetMember {
  readonly model: LinearModel;
  alpha: number;
  beta: number;
}

// Fleets and their neighbours change: half of what was learned of a worker is forgotten in a day without it.
const HALF_LIFE_S = 86_400;
const FORGOTTEN_AFTER_S = 7 * HALF_LIFE_S;
const MAX_ABSENT = 1024;

/** Beliefs by worker name. Those of workers that left wait for their return, weaker by the hour, and are bounded. */
export class Beliefs {
  readonly #parameters: ThompsonParameters;
  readonly #byWorker = new Map<string, WorkerBelief>();
  /** Since when, in seconds of the clock. */
  readonly #absent = new Map<string, number>();

  constructor(parameters: ThompsonParameters) {
    this.#parameters = parameters;
  }

  get size(): number {
    return this.#byWorker.size;
  }

  of(worker: string): WorkerBelief {
    let belief = this.#byWorker.get(worker);
    if (belief === undefined) {
      const { lambda, forgetRate } = this.#parameters;
      const model = new LinearModel(FEATURE_NAMES.length, lambda, forgetRate);
      belief = { model, alpha: 1, beta: 1, slowness: 0 };
      this.#byWorker.set(worker, belief);
    }
    return belief;
  }

  entries(): IterableIterator<[string, WorkerBelief]> {
    return this.#byWorker.entries();
  }

  delete(worker: string): void {
    this.#byWorker.delete(worker);
    this.#absent.delete(worker);
  }

  leave(worker: string, nowS: number): void {
    if (!this.#byWorker.has(worker)) return;
    this.#absent.set(worker, nowS);
    if (this.#absent.size > MAX_ABSENT) this.delete(this.#absent.keys().next().value!);
  }

  /** The worker is there again: what was learned counts as much as its absence has left of it. */
  return(worker: string, nowS: number): void {
    const belief = this.#byWorker.get(worker);
    const share = 0.5 ** (this.absentS(worker, nowS) / HALF_LIFE_S);
    this.#absent.delete(worker);
    if (belief === undefined || share === 1) return;
    belief.model.age(share);
    belief.alpha = 1 + share * (belief.alpha - 1);
    belief.beta = 1 + share * (belief.beta - 1);
    belief.slowness *= share;
  }

  /** For how long a worker has been away; 0 while it is there. */
  absentS(worker: string, nowS: number): number {
    const sinceS = this.#absent.get(worker);
    return sinceS === undefined ? 0 : Math.max(0, nowS - sinceS);
  }

  /** Drops workers that will hardly return. */
  expire(nowS: number): void {
    for (const [worker, sinceS] of this.#absent) if (nowS - sinceS > FORGOTTEN_AFTER_S) this.delete(worker);
  }
}
