import type { RawSeries, Window } from './raw-series.ts';

/** A stretch of the window in which a target told nothing; Unix seconds. */
export interface ScrapeGap {
  readonly job: string;
  readonly instance: string;
  readonly from: number;
  readonly to: number;
  readonly reason: 'down' | 'not scraped';
}

// Scrapes come late now and then; half an interval more is no gap.
const LATE = 2.5;

/** Where targets were down, or not scraped, inside the window; from the raw samples of `up`. */
export function scrapeGaps(up: readonly RawSeries[], { startS, endS }: Window): readonly ScrapeGap[] {
  const gaps: ScrapeGap[] = [];
  for (const { labels, timesS, values } of up) {
    const { job = '', instance = '' } = labels;
    const interval = medianStep(timesS);
    const add = (from: number, to: number, reason: ScrapeGap['reason']): void => {
      const [lower, upper] = [Math.max(from, startS), Math.min(to, endS)];
      if (upper <= lower) return;
      const last = gaps.at(-1);
      if (last?.instance === instance && last.job === job && last.reason === reason && last.to >= lower)
        gaps[gaps.length - 1] = { ...last, to: upper };
      else gaps.push({ job, instance, from: lower, to: upper, reason });
    };
    for (const [i, atS] of timesS.entries()) {
      const before = timesS[i - 1];
      if (before !== undefined && interval !== undefined && atS - before > LATE * interval)
        add(before, atS, 'not scraped');
      if (values[i] === 0) add(atS, timesS[i + 1] ?? endS, 'down');
    }
  }
  return gaps;
}

function medianStep(timesS: readonly number[]): number | undefined {
  const steps = timesS.slice(1).map((atS, i) => atS - timesS[i]!);
  return steps.sort((a, b) => a - b)[steps.length >> 1];
}
