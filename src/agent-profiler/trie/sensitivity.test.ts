import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces } from '../../../test/support/random-traces.ts';
import { slowCalls } from '../../../test/support/slow-calls.ts';
import { slowSlack } from '../../../test/support/slow-slack.ts';
import type { Trace } from '../input/event.ts';
import { type CallSample, callSamples } from './call-samples.ts';
import {
  logicalPositions,
  type SensitivityOptions,
  type SensitivityScore,
  scoreToInt,
  sensitivityScores,
} from './sensitivity.ts';

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

/** A call begins a group when all that start before it have ended; ties as they stand. */
function slowPositions(
  calls: readonly { readonly startS: number; readonly endS: number }[],
): readonly number[] {
  const isBefore = (j: number, i: number) =>
    calls[j]!.startS < calls[i]!.startS || (calls[j]!.startS === calls[i]!.startS && j < i);
  const begins = calls.map(({ startS }, i) =>
    calls.every(({ endS }, j) => !isBefore(j, i) || endS <= startS),
  );
  return calls.map(
    (_, i) => calls.filter((_other, j) => begins[j] && (j === i || isBefore(j, i))).length - 1,
  );
}

function slowScores(trace: Trace, calls: readonly CallSample[], options: SensitivityOptions) {
  const times = trace.events.map(({ timeS }) => timeS);
  const wholeS = Math.max(...times) - Math.min(...times);
  const positions = slowPositions(calls);
  const last = Math.max(...positions);
  const slacks = options.wParallel > 0 ? slowSlack(trace, calls, options.slack) : calls.map(() => 0);
  const { wCritical, wFanout, wPosition, wParallel } = options;
  const parts = calls.map(({ durationS }, i) => {
    const q = positions[i]!;
    const slack = slacks[i]!;
    const groupSize = positions.filter((other) => other === q).length;
    const critical = wholeS === 0 ? 1 : Math.min(1, durationS / wholeS);
    const fanout = last === 0 ? 0 : (last - q) / last;
    const position = last === 0 ? 1 : Math.max(last - q, q) / last;
    const penalty = groupSize === 1 ? slack : (slack + (groupSize - 1) / groupSize) / 2;
    const raw = wCritical * critical + wFanout * fanout + wPosition * position - wParallel * penalty;
    return { logicalPosition: q, groupSize, critical, fanout, position, slack, penalty, raw };
  });
  const raws = parts.map(({ raw }) => raw);
  const [least, most] = [Math.min(...raws), Math.max(...raws)];
  const best = wCritical + wFanout + wPosition;
  const stretched = (raw: number) => (most - least < 1e-9 ? 0.5 : (raw - least) / (most - least));
  const absolute = (raw: number) => (best > 0 ? Math.min(1, Math.max(0, raw / best)) : 0.5);
  return parts.map((part) => ({ ...part, score: (options.absolute ? absolute : stretched)(part.raw) }));
}

describe('the sensitivity of calls', () => {
  const weight = fc.integer({ min: 0, max: 4 }).map((n) => n / 4);
  const options = fc.record<SensitivityOptions>({
    scale: fc.constant(5),
    wCritical: weight,
    wFanout: weight,
    wPosition: weight,
    wParallel: weight,
    absolute: fc.boolean(),
    resolveTimes: fc.constant(true),
    slack: fc.constantFrom('with-own-function', 'siblings-only'),
  });

  test('has the parts and score of its definition, from a look at all calls for each', () => {
    const traces = randomTraces({ maxTraces: 1, maxSpans: 20 });
    const property = fc.property(traces, options, fc.boolean(), ([trace], drawn, full) => {
      if (trace === undefined) return;
      const calls = slowCalls(trace, full ? 'full' : 'two-level');
      // Differences that should be 0 are compared beside 1: rounding leaves something of them.
      const raised = (s: SensitivityScore) => ({ ...s, raw: s.raw + 1, score: s.score + 1 });
      const actual = sensitivityScores(trace, calls, drawn);
      expectClose(actual.map(raised), slowScores(trace, calls, drawn).map(raised));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('groups what overlaps directly or through others', () => {
    const span = fc.tuple(fc.nat(20), fc.integer({ min: -2, max: 6 }));
    const property = fc.property(fc.array(span, { maxLength: 14 }), (drawn) => {
      const spans = drawn.map(([startS, length]) => ({ startS, endS: startS + length }));
      expect(logicalPositions(spans)).toEqual(slowPositions(spans));
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('is the nearest whole number of the scale, the even one of two', () => {
    const property = fc.property(
      fc.integer({ min: -4, max: 36 }),
      fc.integer({ min: 0, max: 9 }),
      (n, scale) => {
        // In thirty-seconds, so that halves are exact.
        const wanted = (n / 32) * (scale - 1);
        const near = Array.from({ length: 41 }, (_, i) => i - 20);
        const best = Math.min(...near.map((whole) => Math.abs(whole - wanted)));
        const nearest = near.filter((whole) => Math.abs(whole - wanted) === best);
        const rounded = nearest.length === 1 ? nearest[0]! : nearest.find((whole) => whole % 2 === 0)!;
        expect(scoreToInt(n / 32, scale)).toBe(Math.max(1, Math.min(scale, rounded + 1)));
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test('takes the calls of a request of no length for wholly critical', () => {
    const trace = traceOf(['LLM_END', 1, 'u', { spanStartS: 1 }]);
    expect(sensitivityScores(trace, callSamples(trace, 'full'), OPTIONS)).toMatchObject([{ critical: 1 }]);
  });
});
