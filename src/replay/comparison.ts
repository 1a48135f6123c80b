import { mean } from '../math/summary.ts';
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
  /** Mean latency (end to end, ms) above that of the best mode, seed by seed; undefined for the best one itself. */
  readonly regretMs: Estimate | undefined;
  /** The same over the second half of the arrivals, when policies that learn have learned. */
  readonly lateRegretMs: Estimate | undefined;
}

export interface Comparison {
  /** Mode that ratios refer to: round robin if it ran, else the first. */
  readonly baseline: string;
  /** Mode of the least mean latency: what one would have run, had one known. */
  readonly best: string;
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
  'mean_e2e_latency_ms',
  'p95_e2e_latency_ms',
  'output_throughput_tok_s',
  'first_admission_prefix_cache_reused_ratio',
] as const;

export function compareModes(runs: readonly ModeRuns[]): Comparison {
  const baseline = runs.find(({ mode }) => mode === 'round-robin') ?? runs[0]!;
  const best = bestOf(runs);
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
      regretMs: mode === best.mode ? undefined : difference(reports, best.reports, LATENCY),
      lateRegretMs: mode === best.mode ? undefined : difference(reports, best.reports, LATE_LATENCY),
    };
  });
  return { baseline: baseline.mode, best: best.mode, modes };
}

const LATENCY = 'mean_e2e_latency_ms';
const LATE_LATENCY = 'late_mean_e2e_latency_ms';

function bestOf(runs: readonly ModeRuns[]): ModeRuns {
  const latency = ({ reports }: ModeRuns): number => mean(reports.map((report) => report[LATENCY] ?? 0)) ?? 0;
  return runs.reduce((best, each) => (latency(each) < latency(best) ? each : best));
}

function difference(reports: readonly Report[], others: readonly Report[], figure: string): Estimate {
  return estimate(reports.map((report, seed) => report[figure]! - others[seed]![figure]!));
}

/** The comparison as it stands in JSON: every figure `{mean, half_width}`, the latter null for one seed. */
export function comparisonJson({ baseline, best, modes }: Comparison): Readonly<Record<string, unknown>> {
  const plain = (figures: Readonly<Record<string, Estimate>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(figures).map(([name, { mean, halfWidth }]) => [
        name,
        { mean: finite(mean), half_width: finite(halfWidth) },
      ]),
    );
  return {
    baseline,
    best,
    modes: modes.map(({ mode, figures, ratios, regretMs, lateRegretMs }) => ({
      mode,
      figures: plain(figures),
      ratios_to_baseline: ratios === undefined ? null : plain(ratios),
      ...plain({ regret_ms: regretMs ?? NO_REGRET, late_regret_ms: lateRegretMs ?? NO_REGRET }),
    })),
  };
}

const NO_REGRET: Estimate = { mean: 0, halfWidth: undefined };

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
