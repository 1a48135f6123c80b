import type { Draws } from './thompson-draws.ts';
import { decodeCost, iatFactor, type Level, prefillLevel } from './thompson-levels.ts';
import { LinearModel } from './thompson-linear.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';
import { Rewards } from './thompson-rewards.ts';
import {
  FEATURE_NAMES,
  features,
  loadFactor,
  pickByDraw,
  prefillCost,
  type RequestView,
  softmaxOfScores,
  stickiness,
  type WorkerView,
} from './thompson-scores.ts';
import { Sessions } from './thompson-sessions.ts';

export interface BanditRequest {
  /** Names the decision when its outcome comes. */
  readonly decision: string | number;
  readonly tokens: number;
  readonly prefixId: string | undefined;
  /** Calls after this one. */
  readonly reuse: number;
  readonly osl: Level;
  readonly iat: Level;
  /** For how long an abandoned conversation is remembered by Kvasir's rules. */
  readonly iatMs?: number | undefined;
  /** Only asked: nothing is remembered, no outcome will come. */
  readonly queryOnly?: boolean | undefined;
}

export interface BanditChoice {
  readonly row: number;
  readonly scores: Float64Array;
  /** Of each row, given what was drawn for the scores. */
  readonly probabilities: Float64Array;
}

export interface BanditOutcome {
  readonly success: boolean;
  readonly latencyMs: number;
  readonly outputTokens: number;
}

export interface Lesson {
  readonly worker: string;
  readonly reward: number;
  readonly baseline: number;
}

/** What is believed of one worker. */
export interface WorkerBelief {
  readonly model: LinearModel;
  alpha: number;
  beta: number;
}

interface Pending {
  readonly worker: string;
  readonly x: Float64Array;
  readonly osl: Level;
  readonly prefill: Level;
  readonly startS: number;
}

const WORST = -1e9;
const MAX_BELIEFS = 4096;
const LEAST_SESSION_S = 60;
const DEFAULT_IAT_MS = 250;

/**
 * Two bandits in one: linear Thompson sampling over nine features, and a Beta bandit per worker, with stickiness for
 * conversations and a view of load. By the reference's rules it is the reference, number for number, given its draws.
 */
export class ThompsonBandit {
  readonly parameters: ThompsonParameters;
  readonly sessions: Sessions;
  readonly rewards: Rewards;
  readonly beliefs = new Map<string, WorkerBelief>();
  readonly #draws: Draws;
  readonly #pending = new Map<string | number, Pending>();
  readonly #pendingOf = new Map<string, number>();
  #sweptS = Number.NEGATIVE_INFINITY;

  constructor(parameters: ThompsonParameters, draws: Draws) {
    this.parameters = parameters;
    this.#draws = draws;
    this.sessions = new Sessions(parameters.maxSessions);
    this.rewards = new Rewards(
      parameters.latencyEmaAlpha,
      parameters.rules === 'reference' ? 'worker' : 'fleet',
    );
  }

  /** Decisions whose outcome is not known yet. */
  get pending(): readonly (string | number)[] {
    return [...this.#pending.keys()];
  }

  pendingOf(worker: string): number {
    return this.#pendingOf.get(worker) ?? 0;
  }

  belief(worker: string): WorkerBelief {
    let belief = this.beliefs.get(worker);
    if (belief === undefined) {
      const { lambda, forgetRate } = this.parameters;
      belief = { model: new LinearModel(FEATURE_NAMES.length, lambda, forgetRate), alpha: 1, beta: 1 };
      this.beliefs.set(worker, belief);
    }
    return belief;
  }

  /** Scores the views, draws one, and remembers the decision until its outcome comes. */
  choose(request: BanditRequest, views: readonly WorkerView[], nowS: number): BanditChoice {
    this.#sweep(nowS);
    const session = request.prefixId === undefined ? undefined : this.sessions.find(request.prefixId);
    const view: RequestView = {
      tokens: request.tokens,
      reuse: Math.max(0, request.reuse),
      decodeCost: decodeCost(request.osl),
      iatFactor: iatFactor(request.iat),
      last: session?.worker,
    };
    const scores = Float64Array.from(views, (each) => this.#score(view, each));
    const { temperatureBase, exploration } = this.parameters;
    const probabilities = softmaxOfScores(
      scores,
      temperatureBase / (1 + view.reuse * view.iatFactor),
      this.parameters,
    ).map((p) => (1 - exploration) * p + exploration / views.length);
    const row = pickByDraw(probabilities, this.#draws.uniform());
    if (request.queryOnly !== true) this.#remember(request, view, views[row]!, nowS);
    return { row, scores, probabilities };
  }

  /** Takes in how a request went; undefined when the decision is not known (any more). */
  learn(decision: string | number, { success, latencyMs, outputTokens }: BanditOutcome): Lesson | undefined {
    const pending = this.#settle(decision);
    if (pending === undefined) return undefined;
    const { worker, osl, prefill } = pending;
    const { reward, baseline } = this.rewards.judge(
      { worker, osl, prefill },
      latencyMs,
      outputTokens,
      success,
    );
    this.#teach(pending, reward);
    return { worker, reward, baseline };
  }

  /** Drops a decision without a lesson: its client left. */
  cancel(decision: string | number): void {
    this.#settle(decision);
  }

  /** The worker left. What is believed of it is kept only if it can be told again when it returns. */
  retire(worker: string, keep: boolean): void {
    if (!keep || this.beliefs.size > MAX_BELIEFS) this.beliefs.delete(worker);
    this.rewards.forget(worker);
  }

  /** Takes in a reward (cut to 0..1) for a worker as such, whatever the request. */
  reward(worker: string, reward: number): void {
    const belief = this.belief(worker);
    const r = Math.min(1, Math.max(0, reward));
    // The reference's Beta bandit never forgets.
    const kept = this.parameters.rules === 'reference' ? 1 : this.parameters.forgetRate;
    belief.alpha = 1 + kept * (belief.alpha - 1) + r;
    belief.beta = 1 + kept * (belief.beta - 1) + 1 - r;
  }

  /** The features that the outcome of a pending decision will be learned with. */
  featuresOf(decision: string | number): Float64Array | undefined {
    return this.#pending.get(decision)?.x;
  }

  #score(request: RequestView, view: WorkerView): number {
    const { parameters } = this;
    const { rules, baseTsWeight, v, costWeight } = parameters;
    const { worker } = view;
    const outstanding = this.sessions.outstanding(worker);
    const x = features(parameters, request, view, outstanding);
    const belief = this.belief(worker);
    const draw = this.#draws.beta(belief.alpha, belief.beta);
    const learned =
      rules === 'reference'
        ? belief.model.sampleByCoefficients(x, v, this.#draws)
        : belief.model.sample(x, v, this.#draws);
    const exploring = (baseTsWeight / (1 + request.reuse * request.iatFactor)) * draw;
    const score =
      rules === 'reference'
        ? (learned + exploring + stickiness(parameters, request, view)) *
          loadFactor(parameters, request, view, outstanding)
        : learned + exploring + this.#cachedStickiness(request, view) - costWeight * view.excessCost;
    return Number.isFinite(score) ? score : WORST;
  }

  /** A conversation is worth its cached prefix: without one there is nothing to return to. */
  #cachedStickiness(request: RequestView, view: WorkerView): number {
    return view.worker === request.last ? view.overlap * stickiness(this.parameters, request, view) : 0;
  }

  #remember(request: BanditRequest, view: RequestView, chosen: WorkerView, nowS: number): void {
    const { parameters, sessions } = this;
    const { worker, overlap } = chosen;
    const prefill = prefillCost(parameters, request.tokens, overlap);
    const scored = features(parameters, view, chosen, sessions.outstanding(worker));
    const { prefixId } = request;
    if (prefixId !== undefined && view.reuse <= 0) sessions.remove(prefixId);
    else if (prefixId !== undefined) {
      const idleS = (2 * (view.reuse + 1) * (request.iatMs ?? DEFAULT_IAT_MS)) / 1000;
      sessions.store(prefixId, {
        worker,
        reuseRemaining: view.reuse,
        decodeCost: view.decodeCost,
        prefillCost: prefill,
        iatFactor: view.iatFactor,
        expiresS:
          parameters.rules === 'reference'
            ? Number.POSITIVE_INFINITY
            : nowS + Math.max(LEAST_SESSION_S, idleS),
      });
    }
    // The reference learns from features that hold this request already; Kvasir from those it scored.
    const x =
      parameters.rules === 'reference'
        ? features(parameters, view, chosen, sessions.outstanding(worker))
        : scored;
    this.#pending.set(request.decision, {
      worker,
      x,
      osl: request.osl,
      prefill: prefillLevel(prefill),
      startS: nowS,
    });
    this.#pendingOf.set(worker, this.pendingOf(worker) + 1);
    if (this.#pending.size > parameters.maxPending) this.cancel(this.#pending.keys().next().value!);
  }

  #settle(decision: string | number): Pending | undefined {
    const pending = this.#pending.get(decision);
    if (pending === undefined) return undefined;
    this.#pending.delete(decision);
    const left = this.pendingOf(pending.worker) - 1;
    if (left > 0) this.#pendingOf.set(pending.worker, left);
    else this.#pendingOf.delete(pending.worker);
    return pending;
  }

  #teach({ worker, x }: Pending, reward: number): void {
    this.reward(worker, reward);
    this.belief(worker).model.learn(x, reward);
  }

  #sweep(nowS: number): void {
    const { feedbackTimeoutS, sweepIntervalS, timeoutReward, rules } = this.parameters;
    if (nowS - this.#sweptS < sweepIntervalS) return;
    this.#sweptS = nowS;
    if (rules === 'kvasir') this.sessions.expire(nowS);
    for (const [decision, { startS }] of this.#pending) {
      // Oldest first.
      if (nowS - startS < feedbackTimeoutS) break;
      const pending = this.#settle(decision)!;
      if (rules === 'reference') this.#teach(pending, timeoutReward);
    }
  }
}
