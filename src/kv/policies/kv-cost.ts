import type { CandidateTable } from './candidate-table.ts';

/** Weights of the KV cost; names of configuration keys are those of `settings.ts`. */
export interface KvWeights {
  /** O: what a cached block is worth; 0 turns the index off. */
  readonly overlapScoreCredit: number;
  /** D: how fast that worth falls on ranks with a longer prefill backlog than the least loaded. */
  readonly overlapScoreCreditDecay: number;
  /** P: weight of prompt blocks to compute against blocks in decode. */
  readonly prefillLoadScale: number;
  /** Wr: cost of each active request. */
  readonly decodeActiveRequestWeight: number;
  /** Wh: worth of a block in host memory against one on the device, 0..1. */
  readonly hostCacheHitWeight: number;
  /** Wd: the same for disk and external stores. */
  readonly diskCacheHitWeight: number;
  /** Ms: the same for blocks that only a shared cache has. */
  readonly sharedCacheMultiplier: number;
  /** T: 0 takes the cheapest; more spreads requests over the cheap ones. */
  readonly temperature: number;
  /** Count prompt tokens at all. */
  readonly trackPrefillTokens: boolean;
  /** Ranks that only decode: the prompt costs nothing, cached blocks still count. */
  readonly decodeOnly: boolean;
}

export const DEFAULT_KV_WEIGHTS: KvWeights = {
  overlapScoreCredit: 1,
  overlapScoreCreditDecay: 0,
  prefillLoadScale: 1,
  decodeActiveRequestWeight: 0,
  hostCacheHitWeight: 0.75,
  diskCacheHitWeight: 0.25,
  sharedCacheMultiplier: 0,
  temperature: 0,
  trackPrefillTokens: true,
  decodeOnly: false,
};

/** Blocks a rank saves, tiers weighted: what is reported as overlap, and times block size as cached tokens. */
export function effectiveOverlap(weights: KvWeights, candidates: CandidateTable, row: number): number {
  return (
    candidates.device[row]! +
    weights.hostCacheHitWeight * candidates.hostPinned[row]! +
    weights.diskCacheHitWeight * (candidates.disk[row]! + candidates.external[row]!)
  );
}

/** Fills `cachedTokens` and `sharedBeyond` from the overlaps; `sharedHits` counts leading blocks in a shared cache. */
export function weighOverlaps(
  weights: KvWeights,
  candidates: CandidateTable,
  blockSize: number,
  sharedHits = 0,
): void {
  for (let row = 0; row < candidates.count; row++) {
    candidates.cachedTokens[row] = Math.round(effectiveOverlap(weights, candidates, row) * blockSize);
    candidates.sharedBeyond[row] = Math.max(0, sharedHits - candidates.device[row]!);
  }
}

/** The cost of every candidate, in blocks, and what it owes to caches; division by the block size is exact, not floored. */
export function kvCosts(
  isl: number,
  blockSize: number,
  weights: KvWeights,
  candidates: CandidateTable,
  costs: Float64Array,
): void {
  const { count, prefillTokens } = candidates;
  let leastPrefill = Number.POSITIVE_INFINITY;
  for (let row = 0; row < count; row++) leastPrefill = Math.min(leastPrefill, prefillTokens[row]!);
  for (let row = 0; row < count; row++)
    costs[row] =
      costOf(isl, blockSize, weights, candidates, row, leastPrefill) * candidates.taintFactor[row]!;
}

function costOf(
  isl: number,
  blockSize: number,
  weights: KvWeights,
  candidates: CandidateTable,
  row: number,
  leastPrefill: number,
): number {
  const { overlapScoreCredit: credit, overlapScoreCreditDecay: decay, trackPrefillTokens: track } = weights;
  const backlog = candidates.prefillTokens[row]!;
  const decodeBlocks = candidates.activeBlocks[row]! + candidates.additionalBlocks[row]!;
  const requests = weights.decodeActiveRequestWeight * candidates.activeRequests[row]!;
  const fading =
    track && decay > 0
      ? 1 / (1 + (decay * ((backlog - leastPrefill) / blockSize)) / Math.ceil(isl / blockSize))
      : 1;
  const saved =
    credit * fading * candidates.device[row]! +
    weights.hostCacheHitWeight * candidates.hostPinned[row]! +
    weights.diskCacheHitWeight * (candidates.disk[row]! + candidates.external[row]!) +
    weights.sharedCacheMultiplier * candidates.sharedBeyond[row]!;
  candidates.creditBlocks[row] = saved;
  if (weights.decodeOnly && !track && credit > 0) return Math.max(0, decodeBlocks - saved) + requests;
  const cached = candidates.cachedTokens[row]!;
  const loaded = candidates.hasLoad[row] === 1;
  // With more cached than the prompt is long, the two cached terms do not cancel: so the reference has it.
  const prompt = loaded ? backlog + Math.max(0, isl - cached) + cached : isl;
  const toCompute = track ? prompt / blockSize : 0;
  return weights.prefillLoadScale * Math.max(0, toCompute - saved) + decodeBlocks + requests;
}

/** The legacy `overlap_score_weight`: scales prefill, and 0 also turns the index off. */
export function legacyOverlapWeight(weight: number): Partial<KvWeights> {
  return weight === 0 ? { prefillLoadScale: 0, overlapScoreCredit: 0 } : { prefillLoadScale: weight };
}

/** Factor on a rank's cost for the preferred taints it carries, given the sum of their weights. */
export function taintFactor(sumOfWeights: number): number {
  return Math.exp(-Math.tanh(sumOfWeights));
}
