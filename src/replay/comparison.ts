import { type Estimate, estimate } from './interval.ts';
import type { Report } from './report.ts';

/** Runs of one router mode, one per seed, in the order of the seeds. */
export interface ModeRuns {
  readonly mode: string;
  readonly reports: readonly Report[];
}

export interface ModeSummary {
  readonly mode: string;
  /** Every figure of the reports, over seeds. */
  readonly figures: Readonly<Record<string, Estimate>>;
  /**
   * Its figures divided by the baseline's, seed by seed, so that what both share cancels; undefined for the
   * baseline itself.
   */
  readonly ratios: Readonly<Record<string, Estimate>> | undefined;
}

export interface Comparison {
  /** Mode that ratios refer to: round robin if it ran, else the first. */
  readonly baseline: string;
  readonly modes: readonly ModeSummary[];
}

/** Figures whose ratios to the baseline are of interest. */
export const PAIRED = [
  'mean_ttft_ms',
  'median_ttft_ms',
  'p95_ttft_ms',
  'p99_ttft_ms',
  'mean_itl_ms',
  'p95_itl_ms',
  'output_throughput_tok_s',
  'first_admission_prefix_cache_reused_ratio',
] as const;

export function compareModes(runs: readonly ModeRuns[]): Comparison {
  const baseline = runs.find(({ mode }) => mode === 'round-robin') ?? runs[0]!;
  const modes = runs.map(({ mode, reports }): ModeSummary => {
    const names = Object.keys(reports[0] ?? {});
    const figures = names.map((name) => [name, estimate(reports.map((report) => report[name]!))] as const);
    const ratios = PAIRED.map((name) => {
      const ratio = reports.map((report, seed) => report[name]! / baseline.reports[seed]![name]!);
      return [name, estimate(ratio)] as const;
    });
    return {
      mode,
      figures: Object.fromEntries(figures),
      ratios: mode === baseline.mode ? undefined : Object.fromEntries(ratios),
    };
  });
  return { baseline: baseline.mode, modes };
}

/** The comparison as it stands in JSON: every figure `{mean, half_width}`, the latter null for one seed. */
export function comparisonJson({ baseline, modes }: Comparison): Readonly<Record<string, unknown>> {
  const plain = (figures: Readonly<Record<string, Estimate>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(figures).map(([name, { mean, halfWidth }]) => [
        name,
        { mean: finite(mean), half_width: finite(halfWidth) },
      ]),
    );
  return {
    baseline,
    modes: modes.map(({ mode, figures, ratios }) => ({
      mode,
      figures: plain(figures),
      ratios_to_baseline: ratios === undefined ? null : plain(ratios),
    })),
  };
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
