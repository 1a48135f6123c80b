/** When a disaggregated request skips the remote prefill and is computed where it decodes. */
export type BypassRule = 'off' | 'isl_bounding' | 'prefill_load' | 'isl_or_load';

/** What the rule looks at. */
export interface BypassFacts {
  readonly isl: number;
  /** Prompt tokens cached on the decode rank. */
  readonly cachedTokens: number;
  /** The prefill rank that would be chosen has more to compute than its threshold. */
  readonly prefillBusy: boolean;
  /** Blocks the decode rank would hold with the request; see {@link potentialDecodeBlocks}. */
  readonly decodeBlocks: number;
  /** Undefined: unknown, and the request goes the usual way. */
  readonly totalBlocks: number | undefined;
  /** Share of its blocks that the decode rank may fill by taking on prefill. */
  readonly decodeBlocksThreshold: number;
}

const MAX_NEW_TOKENS = 2048;
const MAX_NEW_SHARE = 0.7;

/** Whether to skip the remote prefill: little is new, or the prefill side is busy, and the decode rank has room. */
export function bypassesPrefill(rule: BypassRule, facts: BypassFacts): boolean {
  const { totalBlocks, decodeBlocks, decodeBlocksThreshold } = facts;
  if (rule === 'off' || totalBlocks === undefined) return false;
  if (decodeBlocks > decodeBlocksThreshold * totalBlocks) return false;
  const newTokens = Math.max(0, facts.isl - facts.cachedTokens);
  const small = newTokens < MAX_NEW_TOKENS && newTokens / facts.isl < MAX_NEW_SHARE;
  if (rule === 'isl_bounding') return small;
  return rule === 'prefill_load' ? facts.prefillBusy : small || facts.prefillBusy;
}

/**
 * Blocks a rank holds once it has admitted a prompt. Bookings leave out the partial block at the end; here it counts.
 * `trackedBlocks` are the prompt's full blocks as booked, undefined when nothing tracks them.
 */
export function potentialDecodeBlocks(prompt: {
  readonly isl: number;
  readonly blockSize: number;
  readonly activeBlocks: number;
  readonly trackedBlocks: number | undefined;
  readonly additionalBlocks: number;
}): number {
  const untracked = Math.ceil(prompt.isl / prompt.blockSize) - (prompt.trackedBlocks ?? 0);
  return prompt.activeBlocks + prompt.additionalBlocks + Math.max(0, untracked);
}
