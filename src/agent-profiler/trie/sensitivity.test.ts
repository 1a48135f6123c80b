import { expect, test } from 'vitest';
import { traceOf } from '../../../test/support/golden-traces.ts';
import { callSamples } from './call-samples.ts';
import { type SensitivityOptions, sensitivityScores } from './sensitivity.ts';

const OPTIONS: SensitivityOptions = {
  ...{ scale: 5, wCritical: 0.5, wFanout: 0, wPosition: 0, wParallel: 0 },
  ...{ absolute: false, slack: 'siblings-only' },
};
const EPOCH = 1_700_000_000;

function scores(lengths: readonly number[], resolveTimes: boolean): readonly number[] {
  const rows = lengths.flatMap((length, i) => [
    ['LLM_START', EPOCH + i, `u${i}`, { name: 'm' }] as const,
    ['LLM_END', EPOCH + i + length, `u${i}`, { name: 'm' }] as const,
  ]);
  const trace = traceOf(...rows);
  const calls = callSamples(trace, 'full');
  return sensitivityScores(trace, calls, { ...OPTIONS, resolveTimes }).map(({ score }) => score);
}

test('calls whose durations differ by rounding only are equally sensitive', () => {
  // What 0.3 s is after being added to a time of today and taken off again, and one step of doubles more.
  const step = 2 ** -22;
  expect(scores([0.3, 0.3 + step], false)).toEqual([0, 1]);
  expect(scores([0.3, 0.3 + step], true)).toEqual([0.5, 0.5]);
  expect(scores([0.3, 0.3 + 20 * step], true)).toEqual([0, 1]);
});
