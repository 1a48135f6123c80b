import type { JobLoad } from './thompson-fleet.ts';
import type { ThompsonParameters } from './thompson-parameters.ts';

/** What is known of a candidate when it is scored. */
export interface WorkerView {
  readonly worker: string;
  /** Share of its KV cache in use. */
  readonly gpu: number;
  readonly queue: number;
  /** Share of the prompt that it has cached. */
  readonly overlap: number;
  /** Read by Kvasir's rules only: its KV cost in tokens, and the load that the request meets. */
  readonly work: number;
  readonly load: JobLoad;
}

/** What is known of the request, the same for all candidates. */
export interface RequestView {
  readonly tokens: number;
  /** Calls after this one. */
  readonly reuse: number;
  readonly decodeCost: number;
  readonly iatFactor: number;
  /** Worker of the conversation so far. */
  readonly last: string | undefined;
}

export const FEATURE_NAMES = [
  'bias',
  'idleness',
  'overlap',
  'is-last',
  'outstanding',
  'decode-cost',
  'prefill-cost',
  'interarrival',
  'reuse',
] as const;

const clamp01 = (value: number): number => Math.min(1, Math.max(0, value));

/** Cost of computing what a worker has not cached, in units of the token scale. */
export function prefillCost(parameters: ThompsonParameters, tokens: number, overlap: number): number {
  const { prefillTokenScale, prefillWeight } = parameters;
  return (Math.max(0, tokens * (1 - clamp01(overlap))) / prefillTokenScale) * prefillWeight;
}

/** The nine features of a candidate, in the order of {@link FEATURE_NAMES}. */
export function features(
  parameters: ThompsonParameters,
  request: RequestView,
  { worker, gpu, queue, overlap }: WorkerView,
  outstanding: number,
): Float64Array {
  const { gpuPenaltyWeight, queuePenaltyWeight, contextScale } = parameters;
  const load = gpuPenaltyWeight * Math.max(0, gpu) + queuePenaltyWeight * Math.max(0, queue);
  const x = Float64Array.of(
    1,
    1 / (1 + load),
    overlap,
    worker === request.last ? 1 : 0,
    Math.tanh(0.1 * outstanding),
    request.decodeCost / 3,
    Math.tanh(prefillCost(parameters, request.tokens, overlap)),
    request.iatFactor / 1.5,
    Math.tanh(0.25 * request.reuse),
  );
  for (let i = 1; i < x.length; i++) x[i]! *= contextScale;
  return x;
}

/** What a candidate gains by having served the conversation, or loses by not having. */
export function stickiness(
  parameters: ThompsonParameters,
  request: RequestView,
  { worker, overlap }: WorkerView,
): number {
  const { reuse, iatFactor, last } = request;
  if (last === undefined || reuse <= 0) return 0;
  if (worker !== last) {
    const { switchingBase, switchingReusePenalty, switchingIatPenalty } = parameters;
    return -(switchingBase + switchingReusePenalty * reuse + switchingIatPenalty * iatFactor);
  }
  const { affinityBase, affinityReuseWeight, affinityIatWeight } = parameters;
  return (affinityBase + affinityReuseWeight * reuse + affinityIatWeight * iatFactor) * (0.5 + 0.5 * overlap);
}

/** The reference's factor for load, 0..1, which it multiplies scores of either sign with. */
export function loadFactor(
  parameters: ThompsonParameters,
  request: RequestView,
  view: WorkerView,
  outstanding: number,
): number {
  const { gpu, queue, overlap, worker } = view;
  const job = request.decodeCost + prefillCost(parameters, request.tokens, overlap);
  const load =
    parameters.gpuPenaltyWeight * gpu +
    parameters.queuePenaltyWeight * queue +
    parameters.outstandingWorkWeight * Math.max(0, outstanding) +
    job * (parameters.jobGpuCouplingWeight * gpu + parameters.jobQueueCouplingWeight * queue);
  const factor = 1 / (1 + Math.max(0, load));
  return worker === request.last && request.reuse > 0 ? Math.max(factor, parameters.stickyLoadFloor) : factor;
}

/** What a reward says of latency: minus the logarithm of its ratio to the usual one. Extremes are cut: draws may pass 0 and 1. */
export function speedOf(reward: number): number {
  const r = Math.min(1 - LEAST_REWARD, Math.max(LEAST_REWARD, reward));
  return Math.log(r / (1 - r));
}

const LEAST_REWARD = 0.05;

/** Probabilities of scores at a temperature within its limits; 0 gives all to the best. */
export function softmaxOfScores(
  scores: ArrayLike<number>,
  temperature: number,
  { temperatureMin, temperatureMax }: Pick<ThompsonParameters, 'temperatureMin' | 'temperatureMax'>,
): Float64Array {
  const t = Math.min(Math.max(temperature, temperatureMin), temperatureMax);
  const count = scores.length;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) max = Math.max(max, scores[i]!);
  const weights = Float64Array.from({ length: count }, (_, i) =>
    t === 0 ? Number(scores[i] === max) : Math.exp((scores[i]! - max) / t),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (!Number.isFinite(sum) || sum <= 0) return weights.fill(1 / count);
  return weights.map((weight) => weight / sum);
}

/** The first index whose cumulative probability reaches the draw; the first of all if rounding leaves none. */
export function pickByDraw(probabilities: Float64Array, draw: number): number {
  let cumulative = 0;
  for (let i = 0; i < probabilities.length; i++) {
    cumulative += probabilities[i]!;
    if (draw <= cumulative) return i;
  }
  return 0;
}
