import { describe, expect, test } from 'vitest';
import { expectClose, golden } from '../../../test/support/golden-traces.ts';
import {
  roughEstimate,
  type SizingMetrics,
  type SizingTargets,
  sizeGpus,
  slopeEstimate,
} from './gpu-sizing.ts';
import { FIT_DEFAULTS, fitLine } from './line-fit.ts';

type Row = readonly [llm: number, runtime: number, interrupted: boolean];

function levelsOf(rows: Readonly<Record<string, Row>>): Map<number, SizingMetrics> {
  return new Map(
    Object.entries(rows).map(([c, [llm, runtime, interrupted]]) => [
      Number(c),
      {
        alerts: { workflow_interrupted: interrupted },
        llm_latency_p95: llm,
        workflow_runtime_p95: runtime,
        total_runtime: llm + runtime,
        per_item_metrics: { 1: { llm_latency: llm, workflow_runtime: runtime } },
      },
    ]),
  );
}

function targetsOf(config: Readonly<Record<string, number>>): SizingTargets {
  return {
    llmLatencyP95S: config.target_llm_latency_p95 ?? 0,
    workflowRuntimeP95S: config.target_workflow_runtime_p95 ?? 0,
    users: config.target_users!,
    testGpus: config.test_gpu_count!,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: cases of a golden file
type Case = any;
const cases = golden('sizing.json');

describe('the sizing calculator', () => {
  test('keeps every level of an exactly straight line, whatever rounding leaves of it', () => {
    const points = [3, 20, 2, 1, 8].map((x): readonly [number, number] => [x, 0.1 * x + 0.7]);
    const fit = fitLine(points, FIT_DEFAULTS)!;
    expect(fit.outliers_removed).toEqual([]);
    expect(fit.slope).toBeCloseTo(0.1, 12);
    const bent = [1, 2, 3, 4, 5, 6, 7, 8].map((x) => [x, 0.1 * x + (x === 4 ? 9 : 0)] as const);
    expect(fitLine(bent, FIT_DEFAULTS)!.outliers_removed).toEqual([4]);
  });

  test.each<Case>(cases.fit)('fits as the reference: $case', ({ concurrency, p95, expected }) => {
    const points = concurrency.map((x: number, i: number) => [x, p95[i]] as const);
    const fit = fitLine(points, { ...FIT_DEFAULTS, rawPass: true })!;
    if ('error' in expected) expect(fit.r_squared).toBeLessThan(0.7);
    else expectClose(fit, expected);
  });

  test('estimates by slope and by level as the reference', () => {
    for (const row of cases.slope_estimate)
      expectClose(
        slopeEstimate(row, row.target, { users: row.users, testGpus: row.test_gpus }),
        row.expected,
      );
    for (const row of cases.rough_estimate) {
      const targets = {
        llmLatencyP95S: row.target_llm_latency,
        workflowRuntimeP95S: row.target_workflow_runtime,
        users: row.users,
        testGpus: row.test_gpus,
      };
      expectClose(roughEstimate(row.concurrency, row.llm_p95, row.runtime_p95, targets), row.expected);
    }
  });

  test.each<Case>(cases.runner)('gives the whole output of the reference: $case', (row) => {
    const run = () =>
      sizeGpus(
        levelsOf(row['metrics {concurrency: [llm_p95, runtime_p95, interrupted]}']),
        targetsOf(row.config),
        true,
      );
    if ('error' in row.expected) expect(run).toThrow();
    else expectClose(run(), row.expected);
  });

  const ramp = {
    1: [1.1, 4, false],
    2: [1.3, 4.7, false],
    4: [1.5, 5.7, false],
    8: [2.1, 7.9, false],
    16: [3.3, 12.7, false],
    32: [6.6, 24.5, false],
  } as const;

  test('gives whole GPUs with a range, and keeps the highest level', () => {
    const result = sizeGpus(
      levelsOf(ramp),
      targetsOf({ target_llm_latency_p95: 5, target_users: 100, test_gpu_count: 8 }),
      false,
    );
    expect(result.fit_results.llm_latency_fit?.outliers_removed).not.toContain(1);
    const status = result.targets!.llm_latency!;
    expect(status.status).toBe('estimated');
    expect(Number.isInteger(status.gpus)).toBe(true);
    expect(status.range![0]).toBeLessThanOrEqual(status.gpus!);
    expect(status.range![1]).toBeGreaterThanOrEqual(status.gpus!);
  });

  test('answers a target that cannot be met with a status, and still gives the other', () => {
    const config = {
      target_workflow_runtime_p95: 1,
      target_llm_latency_p95: 5,
      target_users: 100,
      test_gpu_count: 8,
    };
    const { targets } = sizeGpus(levelsOf(ramp), targetsOf(config), false);
    expect(targets!.workflow_runtime).toMatchObject({ status: 'unreachable', gpus: null });
    expect(targets!.llm_latency!.gpus).toBeGreaterThan(0);
  });

  test('takes a flat curve as good up to the highest tested level', () => {
    const flat = { 1: [2, 2, false], 2: [2, 2, false], 4: [2, 2, false] } as const;
    const { targets } = sizeGpus(
      levelsOf(flat),
      targetsOf({ target_workflow_runtime_p95: 20, target_users: 100, test_gpu_count: 8 }),
      false,
    );
    expect(targets!.workflow_runtime).toMatchObject({ status: 'flat', gpus: 200 });
  });

  test('as the reference gives no number, and no error, where flat times are all above the target', () => {
    const flat = { 1: [7, 1, false], 2: [7, 2, false] } as const;
    const config = { target_llm_latency_p95: 5, target_users: 1, test_gpu_count: 1 };
    expect(
      sizeGpus(levelsOf(flat), targetsOf(config), true).gpu_estimates.gpu_estimate_by_llm_latency,
    ).toBeNull();
  });

  test('answers no million GPUs where rounding alone keeps the line off its target', () => {
    // The line is c + 4; least squares start it a hair below 4.
    const line = { 4: [8, 1, false], 5: [9, 1, false], 11: [15, 1, false] } as const;
    const config = { target_llm_latency_p95: 4, target_users: 1, test_gpu_count: 1 };
    const { targets } = sizeGpus(levelsOf(line), targetsOf(config), false);
    expect(targets!.llm_latency).toMatchObject({ status: 'unreachable', gpus: null });
  });
});
