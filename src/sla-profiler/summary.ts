import type { ParallelMapping } from '../formats/deployment/backend.ts';
import { findings } from './findings.ts';
import type { Latency } from './latency.ts';
import type { RankedPair } from './ranking.ts';
import { type SlaProfile, slaMet } from './result.ts';
import { GOOD_ENOUGH, type Validation } from './validation.ts';

const MOST_PAIRS = 20;

/** The result for programs: what was chosen, how sure that is, what else there was, and what was lost. Times in ms. */
export function profileSummary(profile: SlaProfile, pairs: readonly RankedPair[]): Record<string, unknown> {
  const { recommendation, target } = profile;
  const { prefill, decode } = recommendation;
  return {
    sla_met: slaMet(profile),
    target: { isl: target.islTokens, osl: target.oslTokens, ttft_ms: target.ttftMs, itl_ms: target.itlMs },
    prefill: {
      mapping: name(profile.prefillMapping),
      gpus: prefill.chosen.gpus,
      ttft_ms: prefill.chosen.latencyMs,
      tokens_per_s_per_gpu: prefill.chosen.tokensPerSPerGpu,
      met: prefill.met,
      queue_bounds: recommendation.prefillQueue,
    },
    decode: {
      mapping: name(profile.decodeMapping),
      gpus: decode.chosen.gpus,
      itl_ms: decode.chosen.latencyMs,
      tokens_per_s_per_gpu: decode.chosen.tokensPerSPerGpu,
      concurrency: decode.chosen.concurrency,
      max_kv_tokens: decode.chosen.maxKvTokens,
      kv_utilisation: recommendation.kvUtilisation,
      met: decode.met,
      kv_bounds: recommendation.decodeKv,
    },
    notes: findings(profile),
    points: profile.counts,
    refinement: profile.refinement && {
      extra_points: profile.refinement.extraPoints,
      full_grid_points: profile.refinement.gridPoints,
    },
    goodput: profile.validation && goodput(profile.validation),
    lost: profile.lost.map(({ role, mapping, reason }) => ({ role, mapping: name(mapping), reason })),
    sweep: {
      prefill: profile.prefill.map(({ mapping, point, tokensPerSPerGpu }) => ({
        mapping: name(mapping),
        isl: point.islTokens,
        ttft_ms: latency(point.ttft),
        tokens_per_s_per_gpu: tokensPerSPerGpu,
      })),
      decode: profile.decode.map(({ mapping, point, tokensPerSPerGpu }) => ({
        mapping: name(mapping),
        concurrency: point.concurrency,
        itl_ms: latency(point.itl),
        tokens_per_s_per_gpu: tokensPerSPerGpu,
      })),
    },
    curves: {
      prefill: profile.prefillCurve.points.map(({ islTokens, ttft }) => ({
        isl: islTokens,
        ttft_ms: latency(ttft),
      })),
      decode: profile.decodeCurve.points.map(({ islTokens, oslTokens, concurrency, itl }) => ({
        isl: islTokens,
        osl: oslTokens,
        concurrency,
        itl_ms: latency(itl),
      })),
    },
    ranked: pairs.slice(0, MOST_PAIRS).map((pair) => ({
      prefill: name(pair.prefill.mapping),
      decode: `${name(pair.decode.mapping)} x ${pair.decode.concurrency}`,
      meets_sla: pair.meetsSla,
      ttft_ms: pair.prefill.latencyMs,
      itl_ms: pair.decode.latencyMs,
      tokens_per_s_per_gpu: pair.tokensPerSPerGpu,
      cost_per_million_tokens: pair.costPerMillionTokens,
      verdict: pair.verdict,
    })),
  };
}

function goodput({ prefill, decode, promisedPerS, servedPerS, outcomes }: Validation): object {
  return {
    prefill_engines: prefill.engines,
    decode_engines: decode.engines,
    promised_requests_per_s: promisedPerS,
    served_requests_per_s: servedPerS ?? null,
    good_enough: GOOD_ENOUGH,
    rates: outcomes.map(({ loadShare, ratePerS, goodShare, ttftShare, itlShare, ttft, itl }) => ({
      load_share: loadShare,
      requests_per_s: ratePerS,
      good_share: goodShare,
      ttft_share: ttftShare,
      itl_share: itlShare,
      ttft_ms: ttft,
      itl_ms: itl,
    })),
  };
}

export function name({ kind, gpus }: ParallelMapping): string {
  return `${kind}${gpus}`;
}

function latency(measured: Latency): Record<string, number | null> {
  const { meanMs, halfWidthMs, p50Ms, p90Ms, p95Ms, p99Ms, probes, samples } = measured;
  return {
    mean: meanMs,
    ci95_half_width: halfWidthMs,
    p50: p50Ms,
    p90: p90Ms,
    p95: p95Ms,
    p99: p99Ms,
    probes,
    samples,
  };
}
