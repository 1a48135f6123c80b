import { mean, total } from './summary.ts';

/** One decision of the policy that ran, seen with the eyes of another one. */
export interface LoggedChoice {
  /** Probability of the action taken, by the policy that ran; above 0. */
  readonly logged: number;
  /** The same by the policy to be judged. */
  readonly target: number;
  readonly reward: number;
  /** A model's reward for the action taken. */
  readonly predicted: number;
  /** The model's reward for the actions of the policy to be judged, weighted by their probabilities. */
  readonly expected: number;
}

/** A value and the half-width of its 95 % interval; infinite for fewer than two decisions. */
export interface ValueEstimate {
  readonly value: number;
  readonly halfWidth: number;
}

export interface OffPolicyEstimates {
  /** Inverse propensity: unbiased where the policy that ran tries all that the other would do. */
  readonly ips: ValueEstimate;
  /** Weights cut at the clip: less variance, biased towards 0. */
  readonly clipped: ValueEstimate;
  /** Weights divided by their sum: little bias, and the scale of rewards does not matter. */
  readonly selfNormalised: ValueEstimate;
  /** The model, corrected where the data contradict it: right if the probabilities or the model are. */
  readonly doublyRobust: ValueEstimate;
  /** How many decisions the weighted ones are worth. */
  readonly effectiveSize: number;
  readonly largestWeight: number;
}

const NORMAL_975 = 1.959964;

/**
 * What another policy would have earned on average (Horvitz-Thompson; Hajek; Dudik, Langford and Li 2011), with intervals
 * from the central limit theorem, for the self-normalised one by the delta method. Undefined for no decisions.
 */
export function evaluateOffPolicy(
  choices: readonly LoggedChoice[],
  clip = Number.POSITIVE_INFINITY,
): OffPolicyEstimates | undefined {
  if (choices.length === 0) return undefined;
  const weights = choices.map(({ logged, target }) => target / logged);
  const sum = total(weights);
  const squares = total(weights.map((weight) => weight * weight));
  const weighted = (i: number): number => weights[i]! * choices[i]!.reward;
  const normalised = sum > 0 ? total(choices.map((_, i) => weighted(i))) / sum : Number.NaN;
  const meanWeight = sum / choices.length;
  return {
    ips: estimate(choices.map((_, i) => weighted(i))),
    clipped: estimate(choices.map(({ reward }, i) => Math.min(clip, weights[i]!) * reward)),
    selfNormalised: {
      value: normalised,
      halfWidth: estimate(choices.map(({ reward }, i) => (weights[i]! * (reward - normalised)) / meanWeight))
        .halfWidth,
    },
    doublyRobust: estimate(
      choices.map(({ reward, predicted, expected }, i) => expected + weights[i]! * (reward - predicted)),
    ),
    effectiveSize: squares > 0 ? (sum * sum) / squares : 0,
    largestWeight: weights.reduce((most, weight) => Math.max(most, weight), 0),
  };
}

function estimate(values: readonly number[]): ValueEstimate {
  const value = mean(values)!;
  if (values.length < 2) return { value, halfWidth: Number.POSITIVE_INFINITY };
  const variance = total(values.map((each) => (each - value) ** 2)) / (values.length - 1);
  return { value, halfWidth: NORMAL_975 * Math.sqrt(variance / values.length) };
}
