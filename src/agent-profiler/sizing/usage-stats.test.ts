import fc from 'fast-check';
import { test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces, timeOrder } from '../../../test/support/random-traces.ts';
import { slowLatencies } from '../../../test/support/slow-latencies.ts';
import { slowPercentile } from '../../../test/support/slow-percentile.ts';
import type { Trace } from '../input/event.ts';
import { addTrace, type ItemUsage, itemUsage, LevelCollector } from './usage-stats.ts';

function slowItem({ events }: Trace): ItemUsage {
  const times = events.length === 0 ? [0] : events.map(({ timeS }) => timeS);
  const ends = events.filter(({ type }) => type === 'LLM_END');
  const sumOf = (name: string | undefined, key: 'prompt' | 'completion' | 'cached' | 'reasoning' | 'total') =>
    ends
      .filter((end) => name === undefined || end.name === name)
      .reduce((sum, { usage }) => sum + (usage?.[key] ?? 0), 0);
  return {
    usage_stats_per_llm: Object.fromEntries(
      ends.map(({ name }) => [
        name,
        {
          prompt_tokens: sumOf(name, 'prompt'),
          completion_tokens: sumOf(name, 'completion'),
          cached_tokens: sumOf(name, 'cached'),
          reasoning_tokens: sumOf(name, 'reasoning'),
          total_tokens: sumOf(name, 'total'),
        },
      ]),
    ),
    total_tokens: sumOf(undefined, 'total'),
    runtime: Math.max(...times) - Math.min(...times),
    min_timestamp: Math.min(...times),
    max_timestamp: Math.max(...times),
    llm_latency: slowPercentile(slowLatencies(events, 'last-start'), 95),
  };
}

test.each(['uuid', 'last-start'] as const)(
  'a level paired by %s equals a look at all its events',
  (pairing) => {
    const property = fc.property(randomTraces({ maxTraces: 5 }), (traces) => {
      const items = traces.map(slowItem);
      const seen = items.filter((_, i) => traces[i]!.events.length > 0);
      // To the reference an item without events ran at the epoch.
      const timed = pairing === 'uuid' ? seen : items;
      const latencies = traces.flatMap(({ events }) => slowLatencies(timeOrder(events), pairing));
      const level = new LevelCollector();
      for (const trace of traces) addTrace(level, trace, pairing);
      expectClose(traces.map(itemUsage), items);
      expectClose(level.finish(), {
        alerts: { workflow_interrupted: traces.some(({ events }) => events.length === 0) },
        llm_latency_p95: slowPercentile(latencies, 95),
        workflow_runtime_p95: slowPercentile(
          seen.map(({ runtime }) => runtime),
          95,
        ),
        total_runtime:
          seen.length === 0
            ? 0
            : Math.max(...timed.map((item) => item.max_timestamp)) -
              Math.min(...timed.map((item) => item.min_timestamp)),
        per_item_metrics: Object.fromEntries(
          items.map(({ llm_latency, runtime }, i) => [i, { llm_latency, workflow_runtime: runtime }]),
        ),
      });
    });
    fc.assert(property, { numRuns: 200 });
  },
);
