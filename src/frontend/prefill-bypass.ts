import { type BypassRule, bypassesPrefill, potentialDecodeBlocks } from '../kv/conditional-prefill.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Exchange } from './exchange.ts';
import { foresee } from './route.ts';

/** When prompts of a split fleet are computed where they are decoded. */
export interface PrefillBypass {
  readonly rule: BypassRule;
  /** Prompt tokens to compute above which a prefill worker counts as busy. */
  readonly busyTokens: number;
  /** Share of its KV blocks that a decode worker may fill by it. */
  readonly decodeBlocksThreshold: number;
}

/** Whether the request goes to a decode worker as a whole, by what each hop's cheapest worker would have to do. */
export async function skipsPrefill(
  { rule, busyTokens, decodeBlocksThreshold }: PrefillBypass,
  exchange: Exchange,
  prefill: KvRouter,
  decode: KvRouter | undefined,
): Promise<boolean> {
  if (rule === 'off' || decode === undefined) return false;
  const there = await foresee(exchange, decode, 'aggregated');
  if (there === undefined) return false;
  const busy = rule === 'isl_bounding' ? undefined : await foresee(exchange, prefill, 'prefill');
  const isl = exchange.prompt.tokens.length;
  const { blockSize, fleet } = decode;
  return bypassesPrefill(rule, {
    isl,
    cachedTokens: there.cachedTokens,
    prefillBusy: (busy?.prefillTokens ?? 0) > busyTokens,
    decodeBlocks: potentialDecodeBlocks({
      isl,
      blockSize,
      activeBlocks: there.activeBlocks,
      trackedBlocks: Math.floor(isl / blockSize),
      additionalBlocks: there.additionalBlocks,
    }),
    totalBlocks: fleet.worker(there.worker.workerId)?.info.totalKvBlocks,
    decodeBlocksThreshold,
  });
}
