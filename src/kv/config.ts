import type { BusyThresholds } from './busy.ts';
import { DEFAULT_KV_WEIGHTS, type KvWeights } from './policies/kv-cost.ts';
import type { PolicyName } from './policies/make-policy.ts';
import type { ThompsonParameters } from './policies/thompson-parameters.ts';
import { type QueueConfig, singleClass } from './queue/policy-classes.ts';

/** Everything a {@link KvRouter} can be told; made from settings by `read-config.ts`. */
export interface RouterConfig {
  readonly mode: PolicyName;
  readonly weights: KvWeights;
  /** Weigh loads only: no index is consulted. */
  readonly loadAware: boolean;
  /** Memory that the index never outgrows. */
  readonly indexLimitBytes: number;
  /** Engines publish events; otherwise the router guesses from its own decisions. */
  readonly useKvEvents: boolean;
  /** Requests bring what ranks hold: there is no index here. */
  readonly remoteIndex: boolean;
  /** How long a routed prompt is taken to stay cached when there are no events. */
  readonly ttlMs: number;
  /** How long one is taken to be cached before its events arrive; undefined: not at all. */
  readonly predictedTtlMs: number | undefined;
  /** A rank whose events pause so long is asked whether it published any; undefined: never. */
  readonly quietMs: number | undefined;
  /** Engines publish pairs of neighbouring tokens, as drafts of EAGLE do: prompts are hashed likewise. */
  readonly eagle: boolean;
  readonly trackActiveBlocks: boolean;
  readonly trackOutputBlocks: boolean;
  /** Active requests with a common prefix share its blocks. */
  readonly assumeKvReuse: boolean;
  /** How prefill backlogs shrink with time; `aic` needs the performance model from outside. */
  readonly prefillLoadModel: 'none' | 'aic' | 'learned';
  /** A request that shows no activity for so long is freed. */
  readonly leaseMs: number;
  readonly affinityTtlMs: number | undefined;
  readonly busy: BusyThresholds;
  /** Who waits for whom when all ranks are busy; without thresholds nobody waits. */
  readonly queue: QueueConfig;
  /** Decisions kept for `/decisions` and the dashboard. */
  readonly decisionLogSize: number;
  readonly acceleratorToCpuRatio: number;
  /** What differs from the parameters that a Thompson mode comes with. */
  readonly thompson: Partial<ThompsonParameters>;
}

export const DEFAULT_ROUTER_CONFIG: RouterConfig = {
  mode: 'kv',
  weights: DEFAULT_KV_WEIGHTS,
  loadAware: false,
  indexLimitBytes: 2 ** 30,
  useKvEvents: true,
  remoteIndex: false,
  ttlMs: 120_000,
  predictedTtlMs: undefined,
  quietMs: 5000,
  eagle: false,
  trackActiveBlocks: true,
  trackOutputBlocks: false,
  assumeKvReuse: true,
  prefillLoadModel: 'none',
  leaseMs: 300_000,
  affinityTtlMs: undefined,
  busy: {},
  queue: singleClass('fcfs', undefined),
  decisionLogSize: 256,
  acceleratorToCpuRatio: 8,
  thompson: {},
};

/** The defaults with some changes. */
export function routerConfig(
  changes: Partial<Omit<RouterConfig, 'weights'>> & { readonly weights?: Partial<KvWeights> } = {},
): RouterConfig {
  return { ...DEFAULT_ROUTER_CONFIG, ...changes, weights: { ...DEFAULT_KV_WEIGHTS, ...changes.weights } };
}
