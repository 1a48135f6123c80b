import type { MeasuredDecode, PrefillCandidate, SlaProfile } from './result.ts';
import { paretoFront } from './selection.ts';

/** One pair of a prefill and a decode engine, in the numbers of which it balances: both kept equally busy. */
export interface RankedPair {
  readonly prefill: PrefillCandidate;
  readonly decode: MeasuredDecode;
  /** Requests per second that one GPU of the balanced mix serves. */
  readonly requestsPerSPerGpu: number;
  /** Prompt and output tokens per second and GPU. */
  readonly tokensPerSPerGpu: number;
  readonly costPerMillionTokens: number;
  readonly meetsSla: boolean;
  /** Why it lost, or what limits the winner. */
  readonly verdict: string;
}

/** Every pair worth having (both halves on their Pareto fronts), those that meet the SLA first, cheapest first. */
export function rankPairs(profile: SlaProfile, gpuHourPrice: number): RankedPair[] {
  const { islTokens, oslTokens, ttftMs, itlMs } = profile.target;
  const pairs = paretoFront(profile.prefill).flatMap((prefill) =>
    paretoFront(profile.decode).map((decode): RankedPair => {
      // GPU-seconds that one request takes in each pool.
      const gpuSeconds = islTokens / prefill.tokensPerSPerGpu + oslTokens / decode.tokensPerSPerGpu;
      const tokensPerSPerGpu = (islTokens + oslTokens) / gpuSeconds;
      const misses = [
        prefill.latencyMs > ttftMs ? 'misses the TTFT target' : '',
        decode.latencyMs > itlMs ? 'misses the ITL target' : '',
      ].filter(Boolean);
      return {
        prefill,
        decode,
        requestsPerSPerGpu: 1 / gpuSeconds,
        tokensPerSPerGpu,
        costPerMillionTokens: (gpuHourPrice / 3600 / tokensPerSPerGpu) * 1e6,
        meetsSla: misses.length === 0,
        verdict: misses.join(' and '),
      };
    }),
  );
  pairs.sort(
    (a, b) => Number(b.meetsSla) - Number(a.meetsSla) || a.costPerMillionTokens - b.costPerMillionTokens,
  );
  return pairs.map((pair, rank) => ({
    ...pair,
    verdict:
      pair.verdict ||
      (rank === 0 ? 'cheapest that meets both targets' : `${percentDearer(pair, pairs[0]!)} dearer`),
  }));
}

function percentDearer(pair: RankedPair, best: RankedPair): string {
  return `${(100 * (pair.costPerMillionTokens / best.costPerMillionTokens - 1)).toFixed(1)} %`;
}
