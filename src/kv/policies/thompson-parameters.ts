/** Weights and limits of a Thompson policy; keys of the reference's configuration stand beside. */
export interface ThompsonParameters {
  /** `reference`: as NeMo Agent Toolkit computes, defects included; `kvasir`: mended. */
  readonly rules: 'reference' | 'kvasir';
  /** affinity.* */
  readonly affinityBase: number;
  readonly affinityReuseWeight: number;
  readonly affinityIatWeight: number;
  readonly stickyLoadFloor: number;
  /** exploration.* */
  readonly baseTsWeight: number;
  readonly temperatureBase: number;
  readonly temperatureMin: number;
  readonly temperatureMax: number;
  /** switching_cost.* */
  readonly switchingBase: number;
  readonly switchingReusePenalty: number;
  readonly switchingIatPenalty: number;
  /** load_balancing.* */
  readonly queuePenaltyWeight: number;
  readonly gpuPenaltyWeight: number;
  readonly outstandingWorkWeight: number;
  readonly jobGpuCouplingWeight: number;
  readonly jobQueueCouplingWeight: number;
  /** prefill.* */
  readonly prefillTokenScale: number;
  readonly prefillWeight: number;
  /** lints.* */
  readonly lambda: number;
  readonly v: number;
  readonly forgetRate: number;
  /** feedback.* */
  readonly feedbackTimeoutS: number;
  readonly sweepIntervalS: number;
  readonly timeoutReward: number;
  readonly latencyEmaAlpha: number;
  /** Kvasir's rules: what a worker's slowness counts, as an exponent, against the work it would have to do. */
  readonly slownessWeight: number;
  /** Kvasir's rules: tokens of work that are no reason to go elsewhere. */
  readonly negligibleWork: number;
  /** Kvasir's rules: factor on all features but the bias; less of it takes workers more for alike in all contexts. */
  readonly contextScale: number;
  /** Kvasir's rules: least probability of all candidates together to be drawn evenly. */
  readonly exploration: number;
  /** Draws of the beliefs that a choice averages over; its probabilities are exact given these. */
  readonly draws: number;
  /** Kvasir's rules: sessions and decisions kept at most. */
  readonly maxSessions: number;
  readonly maxPending: number;
}

/** The reference as its own configuration file ships it. */
export const REFERENCE_THOMPSON: ThompsonParameters = {
  rules: 'reference',
  affinityBase: 0.3,
  affinityReuseWeight: 0.08,
  affinityIatWeight: 0.2,
  stickyLoadFloor: 0.01,
  baseTsWeight: 0.1,
  temperatureBase: 1,
  temperatureMin: 0.15,
  temperatureMax: 2,
  switchingBase: 0.1,
  switchingReusePenalty: 0.04,
  switchingIatPenalty: 0.03,
  queuePenaltyWeight: 1.5,
  gpuPenaltyWeight: 1,
  outstandingWorkWeight: 0.45,
  jobGpuCouplingWeight: 0.4,
  jobQueueCouplingWeight: 0.2,
  prefillTokenScale: 1024,
  prefillWeight: 1,
  lambda: 1,
  v: 0.25,
  forgetRate: 0.995,
  feedbackTimeoutS: 120,
  sweepIntervalS: 5,
  timeoutReward: 0,
  latencyEmaAlpha: 0.2,
  slownessWeight: 0,
  negligibleWork: 0,
  contextScale: 1,
  exploration: 0,
  draws: 1,
  maxSessions: Number.POSITIVE_INFINITY,
  maxPending: Number.POSITIVE_INFINITY,
};

/** Mended: work counts in the open, rewards compare with the fleet, what is kept is bounded. */
export const KVASIR_THOMPSON: ThompsonParameters = {
  ...REFERENCE_THOMPSON,
  rules: 'kvasir',
  // The linear model explores by itself.
  baseTsWeight: 0,
  temperatureBase: 0.01,
  temperatureMin: 0,
  v: 0.1,
  // A long generation is no failure: only what says nothing for so long is given up, without a lesson.
  feedbackTimeoutS: 3600,
  slownessWeight: 1.5,
  negligibleWork: 2048,
  contextScale: 0.3,
  exploration: 0.005,
  draws: 16,
  maxSessions: 65_536,
  maxPending: 65_536,
};
