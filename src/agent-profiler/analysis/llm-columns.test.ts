import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomTraces } from '../../../test/support/random-traces.ts';
import type { Trace, TraceEvent } from '../input/event.ts';
import { completionTokens, firstAfter, type LlmColumns, llmColumns } from './llm-columns.ts';

/** One row, from the whole trace and the whole file. */
function slowRow(row: TraceEvent, trace: Trace, file: readonly TraceEvent[]): LlmColumns {
  const starts = trace.events.filter(
    ({ type, functionName }) => type === 'LLM_START' && functionName === row.functionName,
  );
  const later = starts.map(({ timeS }) => timeS).filter((timeS) => timeS > row.timeS);
  const end = file.findLast(({ type, uuid }) => type === 'LLM_END' && uuid === row.uuid);
  const osl = end === undefined ? undefined : (end.usage?.completion ?? 0);
  return {
    eventId: row.functionName,
    requestsRemaining: starts.length === 0 ? -1 : later.length,
    timeToNextMs: later.length === 0 ? -1 : (Math.min(...later) - row.timeS) * 1000,
    timeToEndMs: later.length === 0 ? -1 : (Math.max(...later) - row.timeS) * 1000,
    predictedOsl: row.type === 'LLM_START' ? osl : undefined,
    timeToSessionEndMs: (Math.max(...trace.events.map(({ timeS }) => timeS)) - row.timeS) * 1000,
  };
}

test('the columns of each row equal a look at the whole trace', () => {
  const property = fc.property(randomTraces({ maxSpans: 16 }), (traces) => {
    const osl = new Map<string, number>();
    for (const { events } of traces) completionTokens(events, osl);
    const file = traces.flatMap(({ events }) => events);
    for (const trace of traces)
      expect(llmColumns(trace, osl)).toEqual(trace.events.map((row) => slowRow(row, trace, file)));
  });
  fc.assert(property, { numRuns: 300 });
});

test('the first value after a moment is found among any ascending ones', () => {
  const property = fc.property(fc.array(fc.nat(9)), fc.integer({ min: -1, max: 10 }), (values, at) => {
    const ascending = [...values].sort((a, b) => a - b);
    expect(firstAfter(ascending, at)).toBe(values.filter((value) => value <= at).length);
  });
  fc.assert(property, { numRuns: 300 });
});
