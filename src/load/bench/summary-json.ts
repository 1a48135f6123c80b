import { percentileOf, type Summary } from '../../math/summary.ts';
import type { LoadReport } from '../measure/report.ts';
import type { RunFacts } from './run-facts.ts';

const STATISTICS = ['ttft', 'ttst', 'tpot', 'itl', 'e2el'] as const;

/** The result for programs: vLLM's key names, by the report's definitions, and what Kvasir adds. */
export function summaryJson(report: LoadReport, facts: RunFacts): Record<string, unknown> {
  const { counts, cache, goodput, sendLag, verdict, health } = report;
  return {
    url: facts.url,
    model_id: facts.model,
    prompt: facts.prompt,
    date: facts.startedAt.toISOString(),
    definitions: report.convention,
    loop: report.loop,
    request_rate: Number.isFinite(facts.requestRate) ? facts.requestRate : 'inf',
    max_concurrency: facts.maxConcurrency ?? null,
    speedup: facts.speedup ?? null,
    cache_state: facts.cacheState,
    valid: verdict.valid,
    invalid_reasons: verdict.reasons,
    interrupted: report.interrupted,
    planned: counts.planned,
    completed: counts.completed,
    failed: counts.failed,
    cancelled: counts.cancelled,
    dropped: counts.dropped,
    warmup: counts.warmup,
    errors: report.errors.slice(0, 20),
    duration: report.durationS,
    total_input_tokens: report.inputTokens,
    total_output_tokens: report.outputTokens,
    request_throughput: report.requestsPerS,
    output_throughput: report.outputTokensPerS,
    total_token_throughput: report.totalTokensPerS,
    max_output_tokens_per_s: report.peakTokensPerS,
    max_concurrent_requests: report.peakInFlight,
    request_goodput: goodput?.perS ?? null,
    good_requests: goodput?.good ?? null,
    good_share: goodput?.share ?? null,
    kve: cache.kve ?? null,
    theoretical_kve: cache.theoreticalKve ?? null,
    cached_tokens: cache.cachedTokens,
    prompt_length_mean_error: report.promptError?.meanTokens ?? null,
    prompt_length_exact_share: report.promptError?.exactShare ?? null,
    send_lag_p50_ms: sendLag?.p50Ms ?? null,
    send_lag_p99_ms: sendLag?.p99Ms ?? null,
    send_lag_max_ms: sendLag?.maxMs ?? null,
    ...Object.assign({}, ...STATISTICS.map((metric) => statistics(`${metric}_ms`, report.latencies[metric]))),
    ...statistics('ttft_from_intended_ms', report.fromIntended?.ttft),
    ...statistics('e2el_from_intended_ms', report.fromIntended?.e2el),
    intervals_95: report.intervals,
    generator: {
      loop_delay_p99_ms: health.loopDelayP99Ms,
      loop_delay_max_ms: health.loopDelayMaxMs,
      loop_utilization: health.loopUtilization,
      cpu_share: health.cpuShare,
    },
  };
}

function statistics(name: string, summary: Summary | undefined): Record<string, number | null> {
  const percentile = (p: number): number | null => (summary === undefined ? null : percentileOf(summary, p));
  return {
    [`mean_${name}`]: summary?.mean ?? null,
    [`median_${name}`]: percentile(50),
    [`std_${name}`]: summary?.std ?? null,
    [`min_${name}`]: summary?.min ?? null,
    [`max_${name}`]: summary?.max ?? null,
    [`p90_${name}`]: percentile(90),
    [`p95_${name}`]: percentile(95),
    [`p99_${name}`]: percentile(99),
  };
}
