import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces, TICK_S } from '../../../test/support/random-traces.ts';
import { slowMean, slowTimePercentile } from '../../../test/support/slow-percentile.ts';
import { levelsByTick, type SlowSpan, slowLevel, slowSpans } from '../../../test/support/slow-spans.ts';
import { SpikeCollector, type SpikeSummary } from './concurrency-spikes.ts';

/** What the call's end reports, or its start where the end reports nothing. */
function tokensOf({ start, end }: SlowSpan, which: 'prompt' | 'total'): number {
  return end?.usage?.[which] ?? start.usage?.[which] ?? 0;
}

function slowSummary(calls: readonly SlowSpan[], wanted: number | undefined): SpikeSummary {
  const levels = calls.length === 0 ? [] : levelsByTick(calls);
  const at = (p: number) => slowTimePercentile(levels, p);
  const threshold = wanted ?? Math.max(1, at(90));
  const moments = [...new Set(calls.flatMap(({ startS, endS }) => [startS, endS]))].sort((a, b) => a - b);
  const spikes = moments.slice(0, -1).filter((atS) => slowLevel(calls, atS) >= threshold);
  const average = (which: 'prompt' | 'total') => {
    const pairs = spikes.flatMap((atS) => calls.filter((call) => slowLevel([call], atS) === 1));
    return slowMean(pairs.map((call) => tokensOf(call, which)).filter((tokens) => tokens > 0));
  };
  const midpoints = calls.map(({ startS, endS }) =>
    endS > startS ? slowLevel(calls, (startS + endS) / 2) : 0,
  );
  return {
    concurrency_distribution: Object.fromEntries(
      levels.map((level) => [level, levels.filter((other) => other === level).length * TICK_S]),
    ),
    p50_concurrency: at(50),
    p90_concurrency: at(90),
    p95_concurrency: at(95),
    p99_concurrency: at(99),
    spike_threshold: threshold,
    correlation_stats: { avg_prompt_tokens: average('prompt'), avg_total_tokens: average('total') },
    average_latency_by_concurrency: Object.fromEntries(
      midpoints.map((level) => [
        level,
        slowMean(calls.filter((_, i) => midpoints[i] === level).map(({ startS, endS }) => endS - startS)),
      ]),
    ),
  };
}

describe.each(['parent-links', 'stack'] as const)('concurrency spikes of calls read by %s', (rule) => {
  test('have the distribution, percentiles, tokens and latencies of a count tick by tick', () => {
    const threshold = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined });
    const property = fc.property(randomTraces({ maxSpans: 16 }), threshold, (traces, wanted) => {
      const collector = new SpikeCollector(rule);
      for (const trace of traces) collector.add(trace);
      const calls = traces.flatMap((trace) => slowSpans(trace, rule, false));
      expectClose(collector.finish(wanted).summary, slowSummary(calls, wanted));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('list the calls that are active in each', () => {
    const property = fc.property(randomTraces(), fc.integer({ min: 1, max: 3 }), (traces, threshold) => {
      const collector = new SpikeCollector(rule);
      for (const trace of traces) collector.add(trace);
      const calls = traces.flatMap((trace) => slowSpans(trace, rule, false));
      for (const spike of collector.finish(threshold).intervals()) {
        const active = calls.filter(({ startS, endS }) => endS > spike.start_time && startS < spike.end_time);
        expect(spike.active_uuids.toSorted()).toEqual(active.map(({ start }) => start.uuid).sort());
      }
    });
    fc.assert(property, { numRuns: 200 });
  });
});
