import { evaluateOffPolicy, type LoggedChoice, type OffPolicyEstimates } from '../../math/off-policy.ts';
import type { KvWeights } from '../policies/kv-cost.ts';
import type { Policy } from '../policies/policy.ts';
import type { PastDecision } from './decision-history.ts';
import { LatencyModel, type Measure, measured } from './latency-model.ts';

export interface Verdict extends OffPolicyEstimates {
  readonly policy: string;
  /** Share of what the policy would do that the one that ran might have done: below 1, only the model speaks of the rest. */
  readonly support: number;
}

export interface JudgeOptions {
  readonly measure: Measure;
  readonly weights: KvWeights;
  /** Largest weight of a decision in the clipped estimate. */
  readonly clip: number;
}

/** Parts that the data are cut into, so that no decision is predicted by a model that has seen it. */
const FOLDS = 5;

/** Judges policies by past decisions, each asked what it would have chosen from the same candidates. */
export class PolicyJudge {
  readonly #decisions: readonly PastDecision[];
  readonly #models: readonly LatencyModel[];
  readonly #options: JudgeOptions;

  constructor(decisions: readonly PastDecision[], options: JudgeOptions) {
    this.#decisions = decisions;
    this.#options = options;
    this.#models = Array.from({ length: FOLDS }, (_, fold) => {
      const others = decisions.filter((_each, i) => i % FOLDS !== fold);
      return new LatencyModel(others, options.measure);
    });
  }

  /** Undefined if there are no decisions. */
  judge(policy: Policy): Verdict | undefined {
    let supported = 0;
    const choices = this.#decisions.map((decision, i) => {
      const target = this.#probabilities(policy, decision, i);
      for (const [row, p] of target.entries()) if (decision.probabilities[row]! > 0) supported += p;
      return this.#choice(decision, target, i);
    });
    const estimates = evaluateOffPolicy(choices, this.#options.clip);
    return estimates && { policy: policy.name, support: supported / choices.length, ...estimates };
  }

  #choice(decision: PastDecision, target: Float64Array, i: number): LoggedChoice {
    const model = this.#models[i % FOLDS]!;
    const { chosen, probabilities } = decision;
    let expected = 0;
    for (const [row, p] of target.entries()) if (p > 0) expected += p * model.predict(decision, row);
    return {
      logged: probabilities[chosen]!,
      target: target[chosen]!,
      reward: measured(decision, this.#options.measure),
      predicted: model.predict(decision, chosen),
      expected,
    };
  }

  #probabilities(
    policy: Policy,
    { isl, expectedOutputTokens, table }: PastDecision,
    i: number,
  ): Float64Array {
    const costs = new Float64Array(table.count);
    const probabilities = new Float64Array(table.count).fill(Number.NaN);
    const request = { isl, pinned: false, weights: this.#options.weights, expectedOutputTokens };
    const row = policy.choose(request, table, costs, probabilities, i);
    if (Number.isNaN(probabilities[0]!)) probabilities.fill(0)[row] = 1;
    return probabilities;
  }
}
