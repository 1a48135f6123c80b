import { fail } from '../base/errors.ts';
import { percentileLinear } from '../math/percentile.ts';
import { meanHalfWidth } from '../math/student-t.ts';
import { mean, summarize } from '../math/summary.ts';

/** A latency with what is known of its spread: percentiles over requests, the interval over probes. */
export interface Latency {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** Half-width of the 95 % t-interval of the mean; null when one probe leaves it unknown. */
  readonly halfWidthMs: number | null;
  readonly probes: number;
  /** Requests of all probes. */
  readonly samples: number;
}

/**
 * Each probe is one observation of the mean, however many requests it had: those decode in the same batches, so their
 * agreement says nothing of how the next probe will do.
 */
export function latencyOf(probes: readonly (readonly number[])[]): Latency {
  const summary = summarize(probes.flat());
  if (summary === undefined) throw fail('KV_ENGINE_REJECTED', { reason: 'the probe brought no latencies' });
  const { sorted } = summary;
  const halfWidthMs = halfWidthOf(probes);
  return {
    meanMs: summary.mean,
    p50Ms: percentileLinear(sorted, 50)!,
    p90Ms: percentileLinear(sorted, 90)!,
    p95Ms: percentileLinear(sorted, 95)!,
    p99Ms: percentileLinear(sorted, 99)!,
    halfWidthMs: Number.isFinite(halfWidthMs) ? halfWidthMs : null,
    probes: probes.length,
    samples: summary.count,
  };
}

/** The mean is known to within `share` of itself. */
export function isTight(probes: readonly (readonly number[])[], share: number): boolean {
  return halfWidthOf(probes) <= share * mean(probes.flat())!;
}

/** Half of the interval as a share of the mean; 0 where it is unknown. */
export function relativeHalfWidth({ halfWidthMs, meanMs }: Latency): number {
  return halfWidthMs === null ? 0 : halfWidthMs / meanMs;
}

function halfWidthOf(probes: readonly (readonly number[])[]): number {
  return meanHalfWidth(probes.map((latencies) => mean(latencies)!));
}
