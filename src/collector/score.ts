import type { CollectedValues } from './queries.ts';

/** The numbers a tuning loop needs. Times in seconds. */
export interface CoreMetrics {
  readonly kv_efficiency: number | null;
  readonly kv_efficiency_fallback: number | null;
  readonly ttft_p50_seconds: number | null;
  readonly ttft_p95_seconds: number | null;
  readonly ttft_p99_seconds: number | null;
  readonly itl_p50_seconds: number | null;
  readonly itl_p95_seconds: number | null;
  readonly itl_p99_seconds: number | null;
}

export interface ScoreWeights {
  readonly kve: number;
  readonly ttft: number;
  readonly itl: number;
  readonly ttftTargetS: number;
  readonly itlTargetS: number;
}

export const DEFAULT_SCORE_WEIGHTS: ScoreWeights = {
  kve: 0.4,
  ttft: 0.4,
  itl: 0.2,
  ttftTargetS: 0.5,
  itlTargetS: 0.05,
};

// Below this a latency counts as this, so that no score is infinite.
const LEAST_LATENCY_S = 0.001;

export function coreMetrics(values: CollectedValues): CoreMetrics {
  return {
    kv_efficiency: ratio(values.kve_cached_tokens_rate, values.kve_prompt_tokens_rate),
    kv_efficiency_fallback: values.kv_cache_hit_rate_sglang,
    ttft_p50_seconds: values.ttft_p50,
    ttft_p95_seconds: values.ttft_p95,
    ttft_p99_seconds: values.ttft_p99,
    itl_p50_seconds: values.itl_p50,
    itl_p95_seconds: values.itl_p95,
    itl_p99_seconds: values.itl_p99,
  };
}

export function effectiveKve(core: CoreMetrics): number | null {
  return core.kv_efficiency ?? core.kv_efficiency_fallback;
}

export function isComplete(core: CoreMetrics): boolean {
  return effectiveKve(core) !== null && core.ttft_p95_seconds !== null && core.itl_p95_seconds !== null;
}

/** The summary of the reference; its source says `sglang_fallback` even when there is no value at all. */
export function coreSummary(core: CoreMetrics): object {
  return {
    kv_efficiency: effectiveKve(core),
    kv_efficiency_source: core.kv_efficiency === null ? 'sglang_fallback' : 'kve',
    ttft_p95_seconds: core.ttft_p95_seconds,
    itl_p95_seconds: core.itl_p95_seconds,
  };
}

/** 0.4 KVE + 0.4 min(1, target/TTFT) + 0.2 min(1, target/ITL), p95 values; null unless all three are known. */
export function optimizationScore(core: CoreMetrics, weights = DEFAULT_SCORE_WEIGHTS): number | null {
  const kve = effectiveKve(core);
  const { ttft_p95_seconds: ttft, itl_p95_seconds: itl } = core;
  if (kve === null || ttft === null || itl === null) return null;
  return (
    weights.kve * kve +
    weights.ttft * withinTarget(ttft, weights.ttftTargetS) +
    weights.itl * withinTarget(itl, weights.itlTargetS)
  );
}

/** Null when either is unknown, or nothing was counted below the line. */
export function ratio(part: number | null, whole: number | null): number | null {
  return part === null || whole === null || whole <= 0 ? null : part / whole;
}

function withinTarget(latencyS: number, targetS: number): number {
  return latencyS === 0 ? 1 : Math.min(1, targetS / Math.max(latencyS, LEAST_LATENCY_S));
}
