import { fail } from '../../base/errors.ts';
import { FIT_DEFAULTS, type FitOptions, fitLine, type LineFit } from './line-fit.ts';

/** What was measured at one concurrency; the field names are those of calc_runner_output.json. */
export interface SizingMetrics {
  readonly alerts: { readonly workflow_interrupted: boolean };
  readonly llm_latency_p95: number;
  readonly workflow_runtime_p95: number;
  readonly total_runtime: number;
  readonly per_item_metrics: Readonly<
    Record<string, { readonly llm_latency: number; readonly workflow_runtime: number }>
  >;
}

/** 0 means: no such target. */
export interface SizingTargets {
  readonly llmLatencyP95S: number;
  readonly workflowRuntimeP95S: number;
  readonly users: number;
  readonly testGpus: number;
}

export interface GpuEstimates {
  readonly gpu_estimate_by_wf_runtime: number | null;
  readonly gpu_estimate_by_llm_latency: number | null;
}

/** Kvasir's answer to one target, where the reference has a number or breaks off. */
export interface TargetStatus {
  /** `flat`: no growth seen, so at least the highest tested concurrency fits. */
  readonly status: 'estimated' | 'flat' | 'unreachable' | 'no-fit';
  /** Whole GPUs, rounded up; null without estimate. For `flat` an upper bound. */
  readonly gpus: number | null;
  /** GPUs if the true line lay two residual deviations lower or higher. */
  readonly range: readonly [low: number, high: number] | null;
  readonly reason: string;
}

/** One concurrency in the result. */
export interface SizedLevel {
  readonly gpu_estimates: GpuEstimates;
  readonly alerts: {
    readonly outlier_workflow_runtime: boolean;
    readonly outlier_llm_latency: boolean;
    readonly num_items_greater_than_target_latency: number;
    readonly num_items_greater_than_target_runtime: number;
  };
  readonly sizing_metrics: SizingMetrics;
}

/** calc_runner_output.json; `targets` is Kvasir's own. */
export interface SizingResult {
  readonly gpu_estimates: GpuEstimates;
  readonly fit_results: { readonly llm_latency_fit: LineFit | null; readonly wf_runtime_fit: LineFit | null };
  /** By concurrency. */
  readonly calc_data: Readonly<Record<string, SizedLevel>>;
  readonly targets?: Readonly<Record<'llm_latency' | 'workflow_runtime', TargetStatus | null>>;
}

/** What was measured, by concurrency. */
export type Levels = ReadonlyMap<number, SizingMetrics>;
type Metric = 'llm_latency_p95' | 'workflow_runtime_p95';

/** What is smaller is nothing: a line that starts this close to its target leaves no room, not some for a million GPUs. */
const ROUNDING = 1e-9;

/**
 * GPUs for a number of users from p95 times at several concurrencies: a line through them gives the concurrency
 * that meets a target. `compat` keeps the reference's outlier rule, its unrounded numbers, and its errors.
 */
export function sizeGpus(levels: Levels, targets: SizingTargets, compat: boolean): SizingResult {
  const options = { ...FIT_DEFAULTS, rawPass: compat };
  const latency = fitMetric(levels, 'llm_latency_p95', options);
  const runtime = fitMetric(levels, 'workflow_runtime_p95', options);
  const rows = [...levels]
    .sort(([a], [b]) => a - b)
    .map(([c, metrics]) => [String(c), levelRow(c, metrics, targets, latency, runtime)] as const);
  const byLatency = statusOf(levels, 'llm_latency_p95', latency, targets.llmLatencyP95S, targets);
  const byRuntime = statusOf(levels, 'workflow_runtime_p95', runtime, targets.workflowRuntimeP95S, targets);
  // Without a line the reference has no number to give, and no error.
  if (compat)
    for (const [fit, status] of [[runtime, byRuntime] as const, [latency, byLatency] as const])
      if (fit !== undefined && status?.status === 'unreachable') throw unreachable(status);
  const estimate = (fit: LineFit | undefined, target: number, status: TargetStatus | null): number | null => {
    if (status === null) return null;
    if (!compat) return status.gpus;
    return fit === undefined ? null : slopeEstimate(fit, target, targets);
  };
  const result = {
    gpu_estimates: {
      gpu_estimate_by_wf_runtime: estimate(runtime, targets.workflowRuntimeP95S, byRuntime),
      gpu_estimate_by_llm_latency: estimate(latency, targets.llmLatencyP95S, byLatency),
    },
    fit_results: { llm_latency_fit: latency ?? null, wf_runtime_fit: runtime ?? null },
    calc_data: Object.fromEntries(rows),
  };
  return compat ? result : { ...result, targets: { llm_latency: byLatency, workflow_runtime: byRuntime } };
}

/** Users over the concurrency at which the line meets the target, times the GPUs of the test. */
export function slopeEstimate(
  { slope, intercept }: Pick<LineFit, 'slope' | 'intercept'>,
  targetS: number,
  targets: Pick<SizingTargets, 'users' | 'testGpus'>,
): number {
  return (targets.users / ((targetS - intercept) / slope)) * targets.testGpus;
}

/** From one level alone: users per tested concurrency, scaled by how much of the target was used. */
export function roughEstimate(
  concurrency: number,
  llmP95S: number,
  runtimeP95S: number,
  targets: SizingTargets,
): GpuEstimates {
  const { llmLatencyP95S, workflowRuntimeP95S, users, testGpus } = targets;
  const exceeds = (target: number, observed: number): boolean => target > 0 && observed > target;
  const none =
    exceeds(llmLatencyP95S, llmP95S) ||
    exceeds(workflowRuntimeP95S, runtimeP95S) ||
    users <= 0 ||
    testGpus <= 0;
  const by = (target: number, observed: number): number | null =>
    none || target <= 0 ? null : (users / concurrency) * (observed / target) * testGpus;
  return {
    gpu_estimate_by_wf_runtime: by(workflowRuntimeP95S, runtimeP95S),
    gpu_estimate_by_llm_latency: by(llmLatencyP95S, llmP95S),
  };
}

function usable({ alerts, llm_latency_p95: latency, workflow_runtime_p95: runtime }: SizingMetrics): boolean {
  return !alerts.workflow_interrupted && latency > 0 && runtime > 0;
}

function pointsOf(levels: Levels, metric: Metric): (readonly [number, number])[] {
  return [...levels]
    .filter(([, metrics]) => usable(metrics))
    .map(([c, metrics]) => [c, metrics[metric]] as const)
    .sort(([a], [b]) => a - b);
}

function fitMetric(levels: Levels, metric: Metric, options: FitOptions): LineFit | undefined {
  const fit = fitLine(pointsOf(levels, metric), options);
  return fit === undefined || fit.r_squared < options.minRSquared ? undefined : fit;
}

function levelRow(
  concurrency: number,
  metrics: SizingMetrics,
  targets: SizingTargets,
  latency: LineFit | undefined,
  runtime: LineFit | undefined,
): SizedLevel {
  const items = usable(metrics) ? Object.values(metrics.per_item_metrics) : [];
  const above = (target: number, values: readonly number[]): number =>
    target > 0 ? values.filter((v) => v > target).length : 0;
  return {
    gpu_estimates: usable(metrics)
      ? roughEstimate(concurrency, metrics.llm_latency_p95, metrics.workflow_runtime_p95, targets)
      : { gpu_estimate_by_wf_runtime: null, gpu_estimate_by_llm_latency: null },
    alerts: {
      outlier_workflow_runtime: runtime?.outliers_removed.includes(concurrency) ?? false,
      outlier_llm_latency: latency?.outliers_removed.includes(concurrency) ?? false,
      num_items_greater_than_target_latency: above(
        targets.llmLatencyP95S,
        items.map((item) => item.llm_latency),
      ),
      num_items_greater_than_target_runtime: above(
        targets.workflowRuntimeP95S,
        items.map((item) => item.workflow_runtime),
      ),
    },
    sizing_metrics: metrics,
  };
}

function statusOf(
  levels: Levels,
  metric: Metric,
  fit: LineFit | undefined,
  targetS: number,
  targets: SizingTargets,
): TargetStatus | null {
  if (targetS <= 0 || targets.users <= 0 || targets.testGpus <= 0) return null;
  const points = pointsOf(levels, metric);
  const gpusAt = (concurrency: number): number =>
    Math.max(1, Math.ceil((targets.users / concurrency) * targets.testGpus - ROUNDING));
  const highest = points.filter(([, y]) => y <= targetS).at(-1)?.[0];
  if (fit === undefined || fit.slope <= 0) {
    if (fit !== undefined && fit.slope < 0)
      return {
        status: 'unreachable',
        gpus: null,
        range: null,
        reason: 'times fall as concurrency grows: the measurement is not usable',
      };
    const flat = points.length >= 2 && isFlat(points);
    if (flat && highest !== undefined)
      return {
        status: 'flat',
        gpus: gpusAt(highest),
        range: null,
        reason: `times do not grow up to concurrency ${highest}: fewer GPUs may do`,
      };
    if (flat)
      return { status: 'unreachable', gpus: null, range: null, reason: `no tested level meets ${targetS} s` };
    return {
      status: 'no-fit',
      gpus: null,
      range: null,
      reason: 'the levels do not lie on a line: measure more of them',
    };
  }
  const concurrency = (targetS - fit.intercept) / fit.slope;
  if (targetS - fit.intercept <= ROUNDING * targetS)
    return {
      status: 'unreachable',
      gpus: null,
      range: null,
      reason: `even one request at a time takes ${(fit.intercept + fit.slope).toFixed(2)} s, above ${targetS} s`,
    };
  const kept = points.filter(([x]) => !fit.outliers_removed.includes(x));
  const rest = kept.reduce((sum, [x, y]) => sum + (y - fit.slope * x - fit.intercept) ** 2, 0);
  const bandS = kept.length > 2 ? 2 * Math.sqrt(rest / (kept.length - 2)) : 0;
  const worst = (targetS - bandS - fit.intercept) / fit.slope;
  const low = gpusAt((targetS + bandS - fit.intercept) / fit.slope);
  const range: readonly [number, number] | null = worst > 0 ? [low, gpusAt(worst)] : null;
  return {
    status: 'estimated',
    gpus: gpusAt(concurrency),
    range,
    reason: `the target is met up to concurrency ${concurrency.toFixed(2)}`,
  };
}

/** Whether the times stay within a tenth of their mean. */
function isFlat(points: readonly (readonly [number, number])[]): boolean {
  const average = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  return points.every(([, y]) => Math.abs(y - average) <= average / 10);
}

function unreachable({ reason }: TargetStatus): Error {
  return fail('KV_SETTING_INVALID', { setting: 'target', value: '', reason, mend: 'Raise the target.' });
}
