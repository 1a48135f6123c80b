import fc from 'fast-check';
import { test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces, timeOrder } from '../../../test/support/random-traces.ts';
import { slowMean, slowPercentile } from '../../../test/support/slow-percentile.ts';
import type { Trace, TraceEvent } from '../input/event.ts';
import { type Distribution, type TokenTiming, TokenTimingCollector } from './token-timing.ts';

function slowDistribution(values: readonly number[]): Distribution {
  const at = (p: number) => slowPercentile(values, p);
  return { n: values.length, mean: slowMean(values), p50: at(50), p90: at(90), p99: at(99) };
}

/** A token or end with its call's start, and the row of its UUID just before it. */
interface Row {
  readonly row: TraceEvent;
  readonly start: TraceEvent;
  readonly before: TraceEvent;
}

/** A row belongs to the last start of its UUID, if no end stands between. */
function rowsOf({ events }: Trace): readonly Row[] {
  const llm = timeOrder(events).filter(({ kind }) => kind === 'LLM');
  return llm.flatMap((row, i) => {
    const earlier = llm.slice(0, i).filter(({ uuid }) => uuid === row.uuid);
    const start = earlier.findLast(({ phase }) => phase !== 'chunk');
    return row.phase === 'start' || start?.phase !== 'start' ? [] : [{ row, start, before: earlier.at(-1)! }];
  });
}

function slowTiming(starts: readonly TraceEvent[], rows: readonly Row[]): TokenTiming {
  const ends = rows.filter(({ row }) => row.phase === 'end');
  const tokens = rows.filter(({ row }) => row.phase === 'chunk');
  const sum = (which: 'prompt' | 'completion' | 'cached') =>
    ends.reduce((total, { row }) => total + (row.usage?.[which] ?? 0), 0);
  const ms = (from: TraceEvent, to: TraceEvent) => (to.timeS - from.timeS) * 1000;
  const isFirst = ({ before }: Row) => before.phase === 'start';
  return {
    calls: starts.length,
    ttft_ms: slowDistribution(tokens.filter(isFirst).map(({ start, row }) => ms(start, row))),
    itl_ms: slowDistribution(tokens.filter((t) => !isFirst(t)).map(({ before, row }) => ms(before, row))),
    latency_ms: slowDistribution(ends.map(({ start, row }) => ms(start, row))),
    prompt_tokens: sum('prompt'),
    completion_tokens: sum('completion'),
    cached_tokens: sum('cached'),
    kv_efficiency: sum('prompt') > 0 ? sum('cached') / sum('prompt') : null,
    calls_without_usage: ends.filter(({ row }) => !row.usage?.prompt && !row.usage?.completion).length,
  };
}

test('token timing by model and by function equals a look at all rows of each', () => {
  const property = fc.property(randomTraces({ maxSpans: 16 }), (traces) => {
    const collector = new TokenTimingCollector();
    for (const trace of traces) collector.add(trace);
    const starts = traces.flatMap(({ events }) => events.filter(({ type }) => type === 'LLM_START'));
    const rows = traces.flatMap(rowsOf);
    const by = (nameOf: (start: TraceEvent) => string) =>
      Object.fromEntries(
        starts.map(nameOf).map((name) => [
          name,
          slowTiming(
            starts.filter((start) => nameOf(start) === name),
            rows.filter(({ start }) => nameOf(start) === name),
          ),
        ]),
      );
    expectClose(collector.finish(), {
      by_model: by(({ name }) => name),
      by_function: by(({ functionName }) => functionName),
    });
  });
  fc.assert(property, { numRuns: 300 });
});
