import type { MeasuredDecode, PrefillCandidate, SlaProfile } from './result.ts';
import { type Candidate, paretoFront } from './selection.ts';

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

/**
 * The recommended pair, then every other one worth having (both halves on their Pareto fronts): those that meet the
 * SLA first, cheapest first.
 */
export function rankPairs(profile: SlaProfile, gpuHourPrice: number): RankedPair[] {
  const { prefill: prefillChoice, decode: decodeChoice } = profile.recommendation;
  const pairs = worthHaving(profile.prefill, prefillChoice.chosen).flatMap((prefill) =>
    worthHaving(profile.decode, decodeChoice.chosen).map((decode) =>
      pairOf(profile, gpuHourPrice, prefill, decode),
    ),
  );
  const isChosen = ({ prefill, decode }: Pair): boolean =>
    prefill === prefillChoice.chosen && decode === decodeChoice.chosen;
  pairs.sort(
    (a, b) =>
      Number(isChosen(b)) - Number(isChosen(a)) ||
      Number(b.meetsSla) - Number(a.meetsSla) ||
      a.costPerMillionTokens - b.costPerMillionTokens,
  );
  const chosen = pairs[0]!;
  const tied = prefillChoice.tiedWith !== undefined || decodeChoice.tiedWith !== undefined;
  return pairs.map((pair) => ({ ...pair, verdict: verdictOf(profile, pair, chosen, tied) }));
}

type Pair = Omit<RankedPair, 'verdict'>;

/** The Pareto front, and the chosen engine, which in a tie is not on it. */
function worthHaving<C extends Candidate>(candidates: readonly C[], chosen: Candidate): C[] {
  const front = new Set<Candidate>(paretoFront(candidates));
  return candidates.filter((candidate) => front.has(candidate) || candidate === chosen);
}

function pairOf(
  { target }: SlaProfile,
  gpuHourPrice: number,
  prefill: PrefillCandidate,
  decode: MeasuredDecode,
): Pair {
  const { islTokens, oslTokens, ttftMs, itlMs } = target;
  // GPU-seconds that one request takes in each pool.
  const gpuSeconds = islTokens / prefill.tokensPerSPerGpu + oslTokens / decode.tokensPerSPerGpu;
  const tokensPerSPerGpu = (islTokens + oslTokens) / gpuSeconds;
  return {
    prefill,
    decode,
    requestsPerSPerGpu: 1 / gpuSeconds,
    tokensPerSPerGpu,
    costPerMillionTokens: (gpuHourPrice / 3600 / tokensPerSPerGpu) * 1e6,
    meetsSla: prefill.latencyMs <= ttftMs && decode.latencyMs <= itlMs,
  };
}

function verdictOf({ target }: SlaProfile, pair: Pair, chosen: Pair, tied: boolean): string {
  const { prefill, decode } = pair;
  const misses = [
    prefill.latencyMs > target.ttftMs ? 'misses the TTFT target' : '',
    decode.latencyMs > target.itlMs ? 'misses the ITL target' : '',
  ].filter(Boolean);
  if (misses.length > 0) return [...(pair === chosen ? ['closest'] : []), ...misses].join(', ');
  if (pair === chosen) return tied ? 'recommended, a tie on fewer GPUs' : 'cheapest that meets both targets';
  const dearer = chosen.tokensPerSPerGpu / pair.tokensPerSPerGpu - 1;
  const percent = `${(100 * Math.abs(dearer)).toFixed(1)} %`;
  return dearer < 0 ? `a tie (${percent} cheaper)` : `${percent} dearer`;
}
