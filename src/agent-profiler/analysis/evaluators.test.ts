import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, golden, goldenTraces } from '../../../test/support/golden-traces.ts';
import { randomTraces } from '../../../test/support/random-traces.ts';
import { isoSeconds, type Trajectory } from '../input/atif.ts';
import { addTrace, itemUsage, LevelCollector } from '../sizing/usage-stats.ts';
import { evaluateTrace, evaluateTrajectory } from './evaluators.ts';

describe('the run-time evaluators', () => {
  test('are what looking at every row again for each call gives', () => {
    const mean = (values: readonly number[], decimals: number) =>
      values.length === 0 ? 0 : Number((values.reduce((a, b) => a + b, 0) / values.length).toFixed(decimals));
    const property = fc.property(randomTraces(), (traces) => {
      for (const trace of traces) {
        const { events } = trace;
        const of = (type: string) => events.filter((event) => event.type === type);
        const calls = [
          ...new Set(events.filter(({ type }) => /^LLM_(START|END)$/.test(type)).map(({ uuid }) => uuid)),
        ];
        const latencies = calls.flatMap((call) => {
          const at = (type: string) => of(type).findLast(({ uuid }) => uuid === call)?.timeS;
          const [startS, endS] = [at('LLM_START'), at('LLM_END')];
          return startS === undefined || endS === undefined ? [] : [Math.max(0, endS - startS)];
        });
        const totals = of('LLM_END').map(({ usage: u }) =>
          u === undefined ? 0 : u.total || u.prompt + u.completion,
        );
        const times = events.map(({ timeS }) => timeS);
        const runtime = times.length === 0 ? 0 : Math.max(...times) - Math.min(...times);
        expectClose(evaluateTrace(trace), {
          avg_llm_latency: {
            score: mean(latencies, 4),
            reasoning: { num_llm_calls: latencies.length, latencies },
          },
          avg_workflow_runtime: {
            score: mean([runtime], 4),
            reasoning: times.length === 0 ? { note: 'no steps' } : { steps: times.length },
          },
          avg_num_llm_calls: { score: totals.length, reasoning: { num_llm_end: totals.length } },
          avg_tokens_per_llm_end: {
            score: mean(totals, 2),
            reasoning: { num_llm_end: totals.length, totals },
          },
        });
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  test.each(['a', 'b', 'c'] as const)('equal the reference on workflow %s', (workflow) => {
    expectClose(goldenTraces(workflow).map(evaluateTrace), golden('evaluators.json')[workflow]);
  });

  test.each(['a0', 'c2'])('equal the reference on trajectory %s', (name) => {
    const trajectory: Trajectory = golden(`${name}.atif.json`);
    expectClose(evaluateTrajectory(trajectory, 'span-timestamp'), golden('evaluators.atif.json')[name]);
  });

  test('find latencies in the times that the converter does write', () => {
    const { avg_llm_latency: latency } = evaluateTrajectory(golden('a0.atif.json'), 'also-invocation');
    expect(latency).toEqual({ score: 1.0833, reasoning: { num_llm_calls: 3, latencies: [1, 0.75, 1.5] } });
  });

  test('read times as the reference reads them', () => {
    for (const [text, readable] of golden('facts_from_tests.json').iso_to_epoch)
      expect(isoSeconds(text) !== undefined).toBe(readable);
    expect(isoSeconds('2023-11-14T22:13:21.125000+00:00')).toBe(1700000001.125);
    expect(isoSeconds('2023-11-14T23:13:20+0100')).toBe(1700000000);
  });
});

describe('usage statistics', () => {
  test.each(['a', 'b', 'c'] as const)('equal the reference on workflow %s', (workflow) => {
    const expected = golden('usage_stats.json')[workflow];
    expectClose(goldenTraces(workflow).map(itemUsage), expected.items);
    const level = new LevelCollector();
    for (const trace of goldenTraces(workflow)) addTrace(level, trace, 'last-start');
    expectClose(level.finish().total_runtime, expected.total_runtime);
  });
});
