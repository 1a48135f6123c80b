import { fail } from '../base/errors.ts';
import type { WorkerKey } from './event.ts';
import type { PromptHashes, PromptNamespace } from './hash.ts';
import { type KvWeights, legacyOverlapWeight } from './policies/kv-cost.ts';
import type { Conversation } from './policies/policy.ts';

/** Where a request may go, as its caller wishes. */
export interface RequestControls {
  /** Pin: this worker or none. Stronger than session affinity. */
  readonly workerId?: string | undefined;
  /** Of a pin without a rank: all ranks of the worker will do. Else a worker of several needs one to be named. */
  readonly anyRank?: boolean | undefined;
  readonly dpRank?: number | undefined;
  readonly allowedWorkers?: ReadonlySet<string> | undefined;
  /** Workers that failed this request already. */
  readonly excludedWorkers?: ReadonlySet<string> | undefined;
  readonly requiredTaints?: readonly string[] | undefined;
  /** Weight of each taint that makes a worker dearer (below 0) or cheaper (above 0). */
  readonly preferredTaints?: ReadonlyMap<string, number> | undefined;
  readonly sessionId?: string | undefined;
  /** The session ends with this request. */
  readonly sessionFinal?: boolean | undefined;
  /** Seconds of head start in the queue; below 0 counts as 0. */
  readonly priority?: number | undefined;
  /** Queue tier: a higher one goes first, whatever the wait. */
  readonly strictPriority?: number | undefined;
  /** Queue policy family. */
  readonly policyClass?: string | undefined;
}

/** Settings that one request may replace for itself. */
export interface RouterOverrides {
  readonly overlapScoreCredit?: number | undefined;
  readonly prefillLoadScale?: number | undefined;
  readonly temperature?: number | undefined;
  readonly sharedCacheMultiplier?: number | undefined;
  readonly trackPrefillTokens?: boolean | undefined;
  readonly assumeKvReuse?: boolean | undefined;
  /** Legacy: replaces `prefillLoadScale`, and 0 also sets `overlapScoreCredit` to 0. */
  readonly overlapScoreWeight?: number | undefined;
}

/** Leading blocks of a prompt on a rank; each lower tier counts those by which it extends the ones above. */
export interface RankHolding {
  readonly worker: WorkerKey;
  readonly deviceBlocks: number;
  readonly hostPinnedBlocks: number;
  readonly diskBlocks: number;
}

/** A request to be placed. Its prompt comes as tokens, or as hashes and a length. */
export interface RouteRequest {
  /** Unique among active requests. */
  readonly requestId: string;
  readonly tokens?: Uint32Array | undefined;
  /** Hashes of the prompt's full blocks, when they are known already; then `namespace` is in them. */
  readonly hashes?: Pick<PromptHashes, 'sequence'> | undefined;
  /** Hashes to book active blocks under, where they are not those that the index knows. */
  readonly trackingHashes?: BigUint64Array | undefined;
  /** Prompt tokens, needed with hashes; else the number of tokens. At least 1. */
  readonly isl?: number | undefined;
  readonly namespace?: PromptNamespace | undefined;
  readonly expectedOutputTokens?: number | undefined;
  readonly controls?: RequestControls | undefined;
  readonly overrides?: RouterOverrides | undefined;
  /** What ranks hold of the prompt, for a router that has no index of its own; ranks left out hold nothing. */
  readonly heldByRank?: readonly RankHolding[] | undefined;
  /** Leading blocks that a shared cache holds. */
  readonly sharedCacheHits?: number | undefined;
  readonly conversation?: Conversation | undefined;
  /** Only ask: nothing is booked, nothing is remembered of it. */
  readonly queryOnly?: boolean | undefined;
}

/** Prompt tokens of a request; an empty prompt is an error. */
export function promptLength({ tokens, isl, requestId }: RouteRequest): number {
  const length = isl ?? tokens?.length ?? 0;
  if (length > 0) return length;
  throw fail('KV_REQUEST_INVALID', {
    reason: `request ${requestId} has an empty prompt`,
    mend: 'Send at least one token.',
  });
}

/** The weights with a request's own replacements. */
export function overriddenWeights(weights: KvWeights, overrides: RouterOverrides | undefined): KvWeights {
  if (overrides === undefined) return weights;
  const { overlapScoreWeight } = overrides;
  const base =
    overlapScoreWeight === undefined ? weights : { ...weights, ...legacyOverlapWeight(overlapScoreWeight) };
  return {
    ...base,
    overlapScoreCredit: overrides.overlapScoreCredit ?? base.overlapScoreCredit,
    prefillLoadScale: overrides.prefillLoadScale ?? base.prefillLoadScale,
    temperature: overrides.temperature ?? base.temperature,
    sharedCacheMultiplier: overrides.sharedCacheMultiplier ?? base.sharedCacheMultiplier,
    trackPrefillTokens: overrides.trackPrefillTokens ?? base.trackPrefillTokens,
  };
}
