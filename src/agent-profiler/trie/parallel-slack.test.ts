import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Row, traceOf } from '../../../test/support/golden-traces.ts';
import { slowCalls } from '../../../test/support/slow-calls.ts';
import { slowSlack } from '../../../test/support/slow-slack.ts';
import { slackRatios } from './parallel-slack.ts';

// UUIDs, parents and functions from one small pool: siblings are many, and a call's function is often one of them.
const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
const parents = ['a', 'p', 'p', 'p', 'q', ''];
const span = fc.record({
  kind: fc.constantFrom('LLM', 'LLM', 'TOOL', 'FUNCTION'),
  uuid: fc.constantFrom(...ids),
  start: fc.nat(10),
  length: fc.integer({ min: 0, max: 6 }),
  tellsStart: fc.boolean(),
  parentId: fc.constantFrom(...parents),
  fnId: fc.constantFrom(...ids),
  fnParent: fc.constantFrom('gone', 'p', 'q', ''),
});

describe.each(['with-own-function', 'siblings-only'] as const)('the slack %s', (rule) => {
  test('equals a comparison of every call with every span', () => {
    const property = fc.property(fc.array(span, { maxLength: 14 }), (spans) => {
      const rows = spans.flatMap(({ kind, uuid, start, length, tellsStart, ...more }): Row[] => [
        [`${kind}_START`, start, uuid, more],
        [`${kind}_END`, start + length, uuid, { ...more, ...(tellsStart ? { spanStartS: start } : {}) }],
      ]);
      const trace = traceOf(...rows);
      const calls = slowCalls(trace, 'two-level');
      expect(slackRatios(trace, calls, rule)).toEqual(slowSlack(trace, calls, rule));
    });
    fc.assert(property, { numRuns: 400 });
  });
});

test.each([0, 3])('a function that starts %d s into its call is no sibling of it', (fnStart) => {
  const around = { fnId: 'f', fnParent: 'p', parentId: 'p' };
  const trace = traceOf(
    ...(fnStart === 0 ? [['FUNCTION_START', 0, 'f', { parentId: 'p' }] as const] : []),
    ['LLM_START', 0, 'u', around],
    ['TOOL_START', 1, 't', { parentId: 'p' }],
    ['TOOL_END', 2, 't', { parentId: 'p' }],
    ...(fnStart > 0 ? [['FUNCTION_START', fnStart, 'f', { parentId: 'p' }] as const] : []),
    ['LLM_END', 4, 'u', { ...around, spanStartS: 0 }],
    ['FUNCTION_END', 100, 'f', { parentId: 'p' }],
  );
  const calls = slowCalls(trace, 'two-level');
  expect(slackRatios(trace, calls, 'siblings-only')).toEqual([0]);
  expect(slackRatios(trace, calls, 'with-own-function')).toEqual([1 - 4 / (100 - fnStart)]);
});
