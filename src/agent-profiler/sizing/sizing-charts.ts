import type { Svg } from '../../plot/svg.ts';
import { type XyPoint, type XyRule, type XySeries, xyChart } from '../../plot/xy-chart.ts';
import type { SizingResult, SizingTargets } from './gpu-sizing.ts';
import type { LineFit } from './line-fit.ts';

interface Measure {
  readonly name: string;
  readonly color: string;
  readonly points: readonly XyPoint[];
  readonly fit: LineFit | null;
  readonly targetS: number;
}

/** The calculator's charts by file name, without extension; the second one where a line was fitted. */
export function sizingCharts(result: SizingResult, targets: SizingTargets): Readonly<Record<string, Svg>> {
  const rows = Object.entries(result.calc_data)
    .map(([concurrency, row]) => [Number(concurrency), row.sizing_metrics] as const)
    .sort(([a], [b]) => a - b);
  const measures: readonly Measure[] = [
    {
      name: 'p95 LLM latency',
      color: '#3b6fd4',
      points: rows.map(([x, metrics]) => ({ x, y: metrics.llm_latency_p95 })),
      fit: result.fit_results.llm_latency_fit,
      targetS: targets.llmLatencyP95S,
    },
    {
      name: 'p95 workflow runtime',
      color: '#2e9e6b',
      points: rows.map(([x, metrics]) => ({ x, y: metrics.workflow_runtime_p95 })),
      fit: result.fit_results.wf_runtime_fit,
      targetS: targets.workflowRuntimeP95S,
    },
  ];
  const axes = { x: { label: 'Concurrency' }, y: { label: 'Seconds' } };
  const simple = xyChart({
    title: 'Concurrency and p95 times',
    ...axes,
    series: measures.map(({ name, color, points }) => ({ name, color, points, draw: 'line+points' })),
    rules: measures.flatMap(targetRule),
  });
  if (measures.every(({ fit }) => fit === null)) return { concurrency_vs_p95_simple: simple };
  const fitted = measures.filter(({ fit }) => fit !== null);
  const analysis = xyChart({
    title: 'Concurrency and p95 times, with the fitted lines',
    ...axes,
    series: fitted.flatMap(fittedSeries),
    rules: fitted.flatMap(targetRule),
    marks: fitted.flatMap(({ points, fit }) =>
      points
        .filter(({ x }) => fit!.outliers_removed.includes(x))
        .map((point) => ({ ...point, label: 'outlier' })),
    ),
  });
  return { concurrency_vs_p95_simple: simple, concurrency_vs_p95_analysis: analysis };
}

function fittedSeries({ name, color, points, fit }: Measure): readonly XySeries[] {
  const { slope, intercept, r_squared: r2 } = fit!;
  const xs = points.map(({ x }) => x);
  const ends = [Math.min(...xs), Math.max(...xs)];
  const sign = intercept < 0 ? '-' : '+';
  const formula = `${slope.toPrecision(3)} c ${sign} ${Math.abs(intercept).toPrecision(3)} s, R² ${r2.toFixed(3)}`;
  return [
    { name, color, points, draw: 'points' },
    {
      name: formula,
      color,
      points: ends.map((x) => ({ x, y: slope * x + intercept })),
      draw: 'line',
      dashed: true,
    },
  ];
}

function targetRule({ name, targetS }: Measure): readonly XyRule[] {
  return targetS > 0 ? [{ axis: 'y', value: targetS, label: `target ${name}: ${targetS} s` }] : [];
}
