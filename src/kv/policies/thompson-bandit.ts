import type { Lesson } from './policy.ts';
import { Beliefs } from './thompson-beliefs.ts';
import type { Draws } from './thompson-draws.ts';
import { FleetLatency, type JobLoad } from './thompson-fleet.ts';
import { decodeCost, iatFactor, type Level, prefillLevel } from './thompson-levels.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';
import { Rewards, rewardOf } from './thompson-rewards.ts';
import {
  features,
  loadFactor,
  pickByDraw,
  prefillCost,
  type RequestView,
  softmaxOfScores,
  speedOf,
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
  /** Of each row, averaged over the draws. */
  readonly scores: Float64Array;
  /** Of each row, given what was drawn for the scores: the law that the row was drawn by. */
  readonly probabilities: Float64Array;
}

export interface BanditOutcome {
  readonly success: boolean;
  readonly latencyMs: number;
  readonly outputTokens: number;
}

export interface BanditLesson extends Lesson {
  readonly worker: string;
}

interface Pending {
  readonly worker: string;
  readonly x: Float64Array;
  readonly osl: Level;
  readonly prefill: Level;
  readonly load: JobLoad;
  readonly startS: number;
}

const WORST = -1e9;
/** Kvasir's models learn how far a reward is from this, so that a worker nobody knows is as good as any. */
const USUAL_REWARD = 0.5;
const LEAST_SESSION_S = 60;
const DEFAULT_IAT_MS = 250;

/**
 * Two bandits in one: linear Thompson sampling over nine features, and a Beta bandit per worker, with stickiness for
 * conversations and a view of load. By the reference's rules it is the reference, number for number, given its draws.
 */
export class ThompsonBandit {
  readonly parameters: ThompsonParameters;
  readonly sessions: Sessions;
  /** Baselines of the reference's rules. */
  readonly rewards: Rewards;
  /** The baseline of Kvasir's. */
  readonly fleet = new FleetLatency();
  readonly beliefs: Beliefs;
  readonly #draws: Draws;
  readonly #pending = new Map<string | number, Pending>();
  readonly #pendingOf = new Map<string, number>();
  #sweptS = Number.NEGATIVE_INFINITY;

  constructor(parameters: ThompsonParameters, draws: Draws) {
    this.parameters = parameters;
    this.#draws = draws;
    this.sessions = new Sessions(parameters.maxSessions);
    this.beliefs = new Beliefs(parameters);
    this.rewards = new Rewards(parameters.latencyEmaAlpha);
  }

  /** Decisions whose outcome is not known yet. */
  get pending(): readonly (string | number)[] {
    return [...this.#pending.keys()];
  }

  pendingOf(worker: string): number {
    return this.#pendingOf.get(worker) ?? 0;
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
    const { scores, probabilities } = this.#weigh(view, views);
    const row = pickByDraw(probabilities, this.#draws.uniform());
    if (request.queryOnly !== true) this.#remember(request, view, views[row]!, nowS);
    return { row, scores, probabilities };
  }

  /** Takes in how a request went; undefined when the decision is not known (any more). */
  learn(
    decision: string | number,
    { success, latencyMs, outputTokens }: BanditOutcome,
  ): BanditLesson | undefined {
    const pending = this.#settle(decision);
    if (pending === undefined) return undefined;
    const { worker, osl, prefill, load } = pending;
    const { reward, baseline } = this.#isReference
      ? this.rewards.judge({ worker, osl, prefill }, latencyMs, outputTokens, success)
      : this.#judgeByFleet(worker, load, latencyMs, outputTokens, success);
    this.#teach(pending, reward);
    const { alpha, beta } = this.beliefs.of(worker);
    return { worker, reward, baseline, alpha, beta };
  }

  /** Drops a decision without a lesson: its client left. */
  cancel(decision: string | number): void {
    this.#settle(decision);
  }

  /** The worker left; what is believed of it is kept only if it can be told again when it returns. */
  retire(worker: string, keep: boolean, nowS: number): void {
    if (keep) this.beliefs.leave(worker, nowS);
    else this.beliefs.delete(worker);
    this.rewards.forget(worker);
  }

  /** Takes in a reward (cut to 0..1) for a worker as such, whatever the request. */
  reward(worker: string, reward: number): void {
    const belief = this.beliefs.of(worker);
    const r = Math.min(1, Math.max(0, reward));
    // The reference's Beta bandit never forgets.
    const kept = this.#isReference ? 1 : this.parameters.forgetRate;
    belief.alpha = 1 + kept * (belief.alpha - 1) + r;
    belief.beta = 1 + kept * (belief.beta - 1) + 1 - r;
  }

  /** The features that the outcome of a pending decision will be learned with. */
  featuresOf(decision: string | number): Float64Array | undefined {
    return this.#pending.get(decision)?.x;
  }

  get #isReference(): boolean {
    return this.parameters.rules === 'reference';
  }

  #judgeByFleet(worker: string, load: JobLoad, latencyMs: number, outputTokens: number, success: boolean) {
    const baseline = this.fleet.expectMs(load, outputTokens) ?? latencyMs;
    if (!success) return { reward: 0, baseline };
    this.fleet.learn(this.beliefs.of(worker), load, outputTokens, latencyMs);
    return { reward: rewardOf(latencyMs, baseline), baseline };
  }

  /** Scores and probabilities, averaged over draws from the beliefs. */
  #weigh(request: RequestView, views: readonly WorkerView[]): Omit<BanditChoice, 'row'> {
    const { temperatureBase, exploration, draws } = this.parameters;
    const temperature = temperatureBase / (1 + request.reuse * request.iatFactor);
    const score = this.#isReference ? this.#referenceScores(request) : this.#scores(request, views);
    const scores = new Float64Array(views.length);
    const probabilities = new Float64Array(views.length).fill(exploration / views.length);
    for (let draw = 0; draw < draws; draw++) {
      const drawn = Float64Array.from(views, (view, i) => finite(score(view, i)));
      const shares = softmaxOfScores(drawn, temperature, this.parameters);
      for (let i = 0; i < views.length; i++) {
        scores[i]! += drawn[i]! / draws;
        probabilities[i]! += ((1 - exploration) * shares[i]!) / draws;
      }
    }
    return { scores, probabilities };
  }

  #referenceScores(request: RequestView): (view: WorkerView) => number {
    const { parameters } = this;
    const weight = parameters.baseTsWeight / (1 + request.reuse * request.iatFactor);
    return (view) => {
      const outstanding = this.sessions.outstanding(view.worker);
      const { alpha, beta, model } = this.beliefs.of(view.worker);
      const exploring = weight * this.#draws.beta(alpha, beta);
      const x = features(parameters, request, view, outstanding);
      const learned = model.sampleByCoefficients(x, parameters.v, this.#draws);
      return (
        (learned + exploring + stickiness(parameters, request, view)) *
        loadFactor(parameters, request, view, outstanding)
      );
    };
  }

  /**
   * Minus the logarithm of what a worker would take: its work times its slowness, as drawn; a conversation's cached
   * prefix counts in its favour.
   */
  #scores(request: RequestView, views: readonly WorkerView[]): (view: WorkerView, i: number) => number {
    const { parameters } = this;
    const { slownessWeight, negligibleWork, v } = parameters;
    const known = views.map((view) => {
      const x = features(parameters, request, view, this.sessions.outstanding(view.worker));
      const { mean, deviation } = this.beliefs.of(view.worker).model.predict(x);
      // Without a cached prefix there is nothing to return to.
      const cached = view.worker === request.last ? view.overlap : 0;
      const certain = cached * stickiness(parameters, request, view) - Math.log(view.work + negligibleWork);
      return { reward: USUAL_REWARD + mean, spread: v * deviation, certain };
    });
    return (_, i) => {
      const { reward, spread, certain } = known[i]!;
      return certain + slownessWeight * speedOf(reward + spread * this.#draws.normals(1)[0]!);
    };
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
        expiresS: this.#isReference ? Number.POSITIVE_INFINITY : nowS + Math.max(LEAST_SESSION_S, idleS),
      });
    }
    // The reference learns from features that hold this request already; Kvasir from those it scored.
    const x = this.#isReference ? features(parameters, view, chosen, sessions.outstanding(worker)) : scored;
    this.#pending.set(request.decision, {
      worker,
      x,
      osl: request.osl,
      prefill: prefillLevel(prefill),
      load: chosen.load,
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
    const { model } = this.beliefs.of(worker);
    if (this.#isReference) model.reward(x, reward);
    else model.learn(x, reward - USUAL_REWARD);
  }

  #sweep(nowS: number): void {
    const { feedbackTimeoutS, sweepIntervalS, timeoutReward } = this.parameters;
    if (nowS - this.#sweptS < sweepIntervalS) return;
    this.#sweptS = nowS;
    if (!this.#isReference) this.sessions.expire(nowS);
    this.beliefs.expire(nowS);
    for (const [decision, { startS }] of this.#pending) {
      // Oldest first.
      if (nowS - startS < feedbackTimeoutS) break;
      const pending = this.#settle(decision)!;
      if (this.#isReference) this.#teach(pending, timeoutReward);
    }
  }
}

function finite(score: number): number {
  return Number.isFinite(score) ? score : WORST;
}
