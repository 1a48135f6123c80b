import { expect, test } from 'vitest';
import { traceOf } from '../../../test/support/golden-traces.ts';
import { readProfilerConfig } from '../config.ts';
import { AgentProfiler } from '../profiler.ts';
import { withFoundStarts } from './found-starts.ts';

const ENDS = traceOf(
  [
    'LLM_END',
    3,
    'call',
    {
      name: 'm',
      fn: 'f',
      spanStartS: 1,
      input: 'Which berth?',
      output: 'Seven.',
      tokens: { prompt_tokens: 9 },
    },
  ],
  ['TOOL_END', 5, 'tool', { name: 't', spanStartS: 3.5, input: 'x' }],
  ['TOOL_END', 6, 'unknown', { name: 't' }],
  ['FUNCTION_END', 7, 'f', { fn: 'f', spanStartS: 0 }],
);

test('calls of which only the end was kept get the start that it tells', () => {
  const found = withFoundStarts(ENDS).events.map(({ type, timeS, uuid, inputText }) => [
    type,
    timeS,
    uuid,
    inputText,
  ]);
  expect(found).toEqual([
    ['LLM_START', 1, 'call', 'Which berth?'],
    ['LLM_END', 3, 'call', ''],
    ['TOOL_START', 3.5, 'tool', ''],
    ['TOOL_END', 5, 'tool', ''],
    ['TOOL_END', 6, 'unknown', ''],
    ['FUNCTION_END', 7, 'f', ''],
  ]);
});

test('a trace that has its starts stays what it is', () => {
  const whole = traceOf(
    ['LLM_START', 1, 'a', { name: 'm' }],
    ['LLM_END', 2, 'a', { name: 'm', spanStartS: 0.5 }],
  );
  expect(withFoundStarts(whole)).toBe(whole);
});

test.each(['kvasir', 'nat'] as const)('a profile of ends alone by the rules of %s', (compat) => {
  const profiler = new AgentProfiler(readProfilerConfig({}, compat), compat);
  profiler.add(ENDS);
  const { base, events } = profiler.finish();
  expect(events).toBe(4);
  expect(base.llmLatency).toMatchObject(compat === 'kvasir' ? { n: 1, mean: 2 } : { n: 0 });
  expect(base.runTime.mean).toBe(compat === 'kvasir' ? 6 : 4);
});
