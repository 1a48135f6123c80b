import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { slowMean } from '../../../test/support/slow-percentile.ts';
import { type SizingMetrics, type SizingTargets, sizeGpus } from './gpu-sizing.ts';
import { FIT_DEFAULTS, fitLine, type LineFit } from './line-fit.ts';

type Point = readonly [concurrency: number, seconds: number];
type Metric = 'llm_latency_p95' | 'workflow_runtime_p95';

const seconds = fc.integer({ min: 0, max: 40 }).map((n) => n / 2);
const item = fc.record({ llm_latency: seconds, workflow_runtime: seconds });

/** Times that rise or fall along a line with some noise, stay flat, or are anything; levels may lack one. */
const curve = fc
  .tuple(fc.constantFrom(-0.25, 0, 0.25, 1), fc.constantFrom(0, 0, 0.5, 20), fc.integer({ min: 1, max: 20 }))
  .chain(([slope, noise, base]) =>
    fc
      .array(fc.integer({ min: -4, max: 4 }), { minLength: 7, maxLength: 7 })
      .map((draws) => (x: number, i: number) => Math.max(0, base + slope * x + (noise * draws[i]!) / 4)),
  );

const levels = fc
  .record({
    concurrencies: fc.uniqueArray(fc.integer({ min: 1, max: 32 }), { minLength: 1, maxLength: 7 }),
    latency: curve,
    runtime: curve,
    interrupted: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 7, maxLength: 7 }),
    items: fc.array(item, { maxLength: 3 }),
  })
  .map(
    ({ concurrencies, latency, runtime, interrupted, items }) =>
      new Map(
        concurrencies.map((c, i): [number, SizingMetrics] => [
          c,
          {
            alerts: { workflow_interrupted: interrupted[i] === 0 },
            llm_latency_p95: latency(c, i),
            workflow_runtime_p95: runtime(c, i),
            total_runtime: 1,
            per_item_metrics: Object.fromEntries(items.entries()),
          },
        ]),
      ),
  );

const targets = fc.record<SizingTargets>({
  llmLatencyP95S: seconds,
  workflowRuntimeP95S: seconds,
  users: fc.nat(300),
  testGpus: fc.nat(8),
});

const isUsable = (m: SizingMetrics) =>
  !m.alerts.workflow_interrupted && m.llm_latency_p95 !== 0 && m.workflow_runtime_p95 !== 0;

function pointsOf(all: ReadonlyMap<number, SizingMetrics>, metric: Metric): readonly Point[] {
  const usable = [...all].filter(([, metrics]) => isUsable(metrics));
  return usable.sort(([a], [b]) => a - b).map(([c, metrics]) => [c, metrics[metric]]);
}

function goodFit(points: readonly Point[], rawPass: boolean): LineFit | undefined {
  const fit = fitLine(points, { ...FIT_DEFAULTS, rawPass });
  return fit !== undefined && fit.r_squared >= 0.7 ? fit : undefined;
}

/** Two standard deviations of what the line leaves. */
function bandOf(points: readonly Point[], fit: LineFit): number {
  const kept = points.filter(([x]) => !fit.outliers_removed.includes(x));
  const squares = kept.map(([x, y]) => (y - fit.intercept - fit.slope * x) ** 2);
  return kept.length < 3 ? 0 : 2 * Math.sqrt((slowMean(squares) * kept.length) / (kept.length - 2));
}

const hasRoom = (fit: LineFit, targetS: number) => targetS - fit.intercept > 1e-8;

function slowStatus(points: readonly Point[], fit: LineFit | undefined, targetS: number): string {
  if (fit !== undefined) return fit.slope > 0 && hasRoom(fit, targetS) ? 'estimated' : 'unreachable';
  const average = slowMean(points.map(([, y]) => y));
  const flat = points.length > 1 && points.every(([, y]) => y >= 0.9 * average && y <= 1.1 * average);
  if (!flat) return 'no-fit';
  return points.some(([, y]) => y <= targetS) ? 'flat' : 'unreachable';
}

test('whole GPUs are the fewest that keep the line under the target, or the status says why there are none', () => {
  const property = fc.property(levels, targets, fc.boolean(), (all, given, byLatency) => {
    const metric = byLatency ? 'llm_latency_p95' : 'workflow_runtime_p95';
    const targetS = byLatency ? given.llmLatencyP95S : given.workflowRuntimeP95S;
    const { targets: statuses, fit_results: fits, gpu_estimates: estimates } = sizeGpus(all, given, false);
    const status = byLatency ? statuses!.llm_latency : statuses!.workflow_runtime;
    const points = pointsOf(all, metric);
    const fit = goodFit(points, false);
    expect(byLatency ? fits.llm_latency_fit : fits.wf_runtime_fit).toEqual(fit ?? null);
    expect(byLatency ? estimates.gpu_estimate_by_llm_latency : estimates.gpu_estimate_by_wf_runtime).toBe(
      status?.gpus ?? null,
    );
    const load = given.users * given.testGpus;
    if (targetS === 0 || load === 0) {
      expect(status).toBeNull();
      return;
    }
    const wanted = slowStatus(points, fit, targetS);
    expect(status!.status).toBe(wanted);
    if (wanted === 'flat') {
      const highest = Math.max(...points.flatMap(([c, y]) => (y <= targetS ? [c] : [])));
      expect([status!.gpus, status!.range]).toEqual([Math.ceil(load / highest), null]);
    } else if (wanted === 'estimated') {
      const bandS = bandOf(points, fit!);
      // The users' share of each GPU, put on the line raised by so much, meets the target; one GPU fewer does not.
      const isFewest = (gpus: number, raisedS: number) => {
        const spareS = (n: number) => targetS - raisedS - fit!.intercept - (fit!.slope * load) / n;
        return spareS(gpus) >= -1e-7 && (gpus === 1 || spareS(gpus - 1) <= 1e-7);
      };
      expect(isFewest(status!.gpus!, 0)).toBe(true);
      expect(status!.range === null).toBe(fit!.intercept + bandS >= targetS);
      for (const [i, gpus] of (status!.range ?? []).entries())
        expect(isFewest(gpus, i === 0 ? -bandS : bandS)).toBe(true);
    } else expect([status!.gpus, status!.range]).toEqual([null, null]);
  });
  fc.assert(property, { numRuns: 1000 });
});

test('as in the reference the line’s own number is given, and a target below the line is an error', () => {
  const property = fc.property(levels, targets, (all, given) => {
    const asked = given.users > 0 && given.testGpus > 0;
    const estimate = (metric: Metric, targetS: number) => {
      const fit = goodFit(pointsOf(all, metric), true);
      if (fit === undefined || targetS === 0 || !asked) return null;
      const concurrency = (targetS - fit.intercept) / fit.slope;
      if (!hasRoom(fit, targetS) || concurrency <= 0) return 'error';
      return (given.users * given.testGpus) / concurrency;
    };
    const expected = {
      gpu_estimate_by_wf_runtime: estimate('workflow_runtime_p95', given.workflowRuntimeP95S),
      gpu_estimate_by_llm_latency: estimate('llm_latency_p95', given.llmLatencyP95S),
    };
    if (Object.values(expected).includes('error')) expect(() => sizeGpus(all, given, true)).toThrow();
    else expectClose(sizeGpus(all, given, true).gpu_estimates, expected);
  });
  fc.assert(property, { numRuns: 500 });
});

test('each level has the estimate of its own times, and counts what is above the targets', () => {
  const property = fc.property(levels, targets, (all, given) => {
    const { calc_data: rows, fit_results: fits } = sizeGpus(all, given, false);
    const { llmLatencyP95S, workflowRuntimeP95S, users, testGpus } = given;
    const above = (values: readonly number[], targetS: number) =>
      targetS === 0 ? 0 : values.filter((value) => value > targetS).length;
    const expected = [...all].map(([c, metrics]) => {
      const usable = isUsable(metrics);
      const items = usable ? Object.values(metrics.per_item_metrics) : [];
      const { llm_latency_p95: latency, workflow_runtime_p95: runtime } = metrics;
      const given0 = users === 0 || testGpus === 0;
      const over = above([latency], llmLatencyP95S) + above([runtime], workflowRuntimeP95S) > 0;
      const rough = (observed: number, targetS: number) =>
        !usable || given0 || over || targetS === 0 ? null : (users * testGpus * observed) / (c * targetS);
      return [
        c,
        {
          gpu_estimates: {
            gpu_estimate_by_wf_runtime: rough(runtime, workflowRuntimeP95S),
            gpu_estimate_by_llm_latency: rough(latency, llmLatencyP95S),
          },
          alerts: {
            outlier_workflow_runtime: fits.wf_runtime_fit?.outliers_removed.includes(c) ?? false,
            outlier_llm_latency: fits.llm_latency_fit?.outliers_removed.includes(c) ?? false,
            num_items_greater_than_target_latency: above(
              items.map(({ llm_latency }) => llm_latency),
              llmLatencyP95S,
            ),
            num_items_greater_than_target_runtime: above(
              items.map(({ workflow_runtime }) => workflow_runtime),
              workflowRuntimeP95S,
            ),
          },
          sizing_metrics: metrics,
        },
      ];
    });
    expectClose(rows, Object.fromEntries(expected));
  });
  fc.assert(property, { numRuns: 300 });
});
