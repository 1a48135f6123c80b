import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces } from '../../../test/support/random-traces.ts';
import { slowCalls } from '../../../test/support/slow-calls.ts';
import { callSamples, MAX_PATH } from './call-samples.ts';

describe('the calls of a trace', () => {
  test.each(['full', 'two-level'] as const)('by %s paths equal a look at all rows for each', (rule) => {
    const property = fc.property(randomTraces({ maxTraces: 1, maxSpans: 20 }), (traces) => {
      for (const trace of traces) expect(callSamples(trace, rule)).toEqual(slowCalls(trace, rule));
    });
    fc.assert(property, { numRuns: 400 });
  });

  test('of one UUID have the start that comes as often as their end', () => {
    const trace = traceOf(
      ['LLM_START', 0, 'u'],
      ['LLM_END', 1, 'u'],
      ['LLM_START', 10, 'u'],
      ['LLM_END', 12, 'u'],
    );
    expect(callSamples(trace, 'full').map(({ startS, durationS }) => [startS, durationS])).toEqual([
      [0, 1],
      [10, 2],
    ]);
  });

  test('without a start take no time, at their end', () => {
    const trace = traceOf(['LLM_START', 5, 'a'], ['LLM_END', 6, 'a'], ['LLM_END', 7, 'b']);
    expect(callSamples(trace, 'full').at(-1)).toMatchObject({ startS: 7, durationS: 0 });
  });

  test('keep the outermost names of a deep path', () => {
    const names = Array.from({ length: MAX_PATH + 9 }, (_, i) => `f${i}`);
    const rows = names.map(
      (fn, i) => ['LLM_END', i, `u${i}`, { fn, fnParent: i === 0 ? 'root' : names[i - 1]! }] as const,
    );
    for (const [i, { path }] of callSamples(traceOf(...rows), 'full').entries())
      expect(path).toEqual(names.slice(0, Math.min(i + 1, MAX_PATH)));
  });
});
