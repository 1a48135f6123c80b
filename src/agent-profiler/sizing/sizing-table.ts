import type { SizingResult, SizingTargets, TargetStatus } from './gpu-sizing.ts';

/** The result for people at a terminal: a row per concurrency, then what each target needs. */
export function sizingTable(result: SizingResult, targets: SizingTargets): readonly string[] {
  const rows = Object.entries(result.calc_data).sort(([a], [b]) => Number(a) - Number(b));
  const estimates = rows.map(([, { gpu_estimates: gpus }]) => gpus);
  const alerts = rows.map(([, row]) => alertsOf(row));
  const columns: (readonly [head: string, cells: readonly string[]])[] = [
    ['Concurrency', rows.map(([concurrency]) => concurrency)],
    ['p95 LLM Latency', rows.map(([, row]) => duration(row.sizing_metrics.llm_latency_p95))],
    ['p95 WF Runtime', rows.map(([, row]) => duration(row.sizing_metrics.workflow_runtime_p95))],
    ['Total Runtime', rows.map(([, row]) => duration(row.sizing_metrics.total_runtime))],
  ];
  if (alerts.some((text) => text !== '')) columns.unshift(['Alerts', alerts]);
  const byRuntime = estimates.map((gpus) => gpus.gpu_estimate_by_wf_runtime);
  const byLatency = estimates.map((gpus) => gpus.gpu_estimate_by_llm_latency);
  if (byRuntime.some((gpus) => gpus !== null))
    columns.push(['GPUs (WF Runtime, Rough)', byRuntime.map(gpuCell)]);
  if (byLatency.some((gpus) => gpus !== null))
    columns.push(['GPUs (LLM Latency, Rough)', byLatency.map(gpuCell)]);
  const { llm_latency: latency = null, workflow_runtime: runtime = null } = result.targets ?? {};
  const { gpu_estimate_by_llm_latency: gpusByLatency, gpu_estimate_by_wf_runtime: gpusByRuntime } =
    result.gpu_estimates;
  return [
    ...aligned(columns),
    ...(alerts.some((text) => text !== '')
      ? [
          '',
          '!W: the workflow was interrupted; L, R: LLM latency or workflow runtime is an outlier and left out of the line',
        ]
      : []),
    '',
    ...targetLines('workflow runtime', targets.workflowRuntimeP95S, targets, runtime, gpusByRuntime),
    ...targetLines('LLM latency', targets.llmLatencyP95S, targets, latency, gpusByLatency),
  ];
}

function alertsOf({ alerts, sizing_metrics: metrics }: SizingResult['calc_data'][string]): string {
  return [
    metrics.alerts.workflow_interrupted ? '!W' : '',
    alerts.outlier_llm_latency ? 'L' : '',
    alerts.outlier_workflow_runtime ? 'R' : '',
  ]
    .filter((mark) => mark !== '')
    .join(' ');
}

function targetLines(
  name: string,
  targetS: number,
  { users, testGpus }: SizingTargets,
  status: TargetStatus | null,
  gpus: number | null,
): readonly string[] {
  if (targetS <= 0) return [];
  if (users <= 0 || testGpus <= 0)
    return [`p95 ${name} <= ${targetS} s: name --target-users and --test-gpu-count for an estimate`];
  const head = `p95 ${name} <= ${targetS} s for ${users} users: `;
  if (gpus === null)
    return [`${head}${status?.status ?? 'no-fit'}${status === null ? '' : `, ${status.reason}`}`];
  const range = status?.range == null ? '' : ` (${status.range[0]} to ${status.range[1]})`;
  const upTo = status?.status === 'flat' ? 'at most ' : '';
  return [`${head}${upTo}${gpuCell(gpus)} GPUs${range}${status === null ? '' : `, ${status.reason}`}`];
}

function duration(seconds: number): string {
  return `${seconds.toFixed(seconds < 10 ? 3 : 1)} s`;
}

function gpuCell(gpus: number | null): string {
  return gpus === null ? '-' : String(Number(gpus.toFixed(2)));
}

function aligned(columns: readonly (readonly [head: string, cells: readonly string[]])[]): readonly string[] {
  const widths = columns.map(([head, cells]) => Math.max(head.length, ...cells.map((cell) => cell.length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => cell.padStart(widths[i]!)).join('  ');
  const rows = columns[0]![1].map((_, row) => line(columns.map(([, cells]) => cells[row]!)));
  return [line(columns.map(([head]) => head)), widths.map((width) => '-'.repeat(width)).join('  '), ...rows];
}
