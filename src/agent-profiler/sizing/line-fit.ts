import { percentile } from '../analysis/confidence.ts';

export interface LineFit {
  readonly slope: number;
  readonly intercept: number;
  readonly r_squared: number;
  /** x of the points left out. */
  readonly outliers_removed: readonly number[];
}

export interface FitOptions {
  readonly smallRange: number;
  readonly extremeOutlier: number;
  readonly conservativeOutlier: number;
  readonly minRSquared: number;
  readonly removeOutliers: boolean;
  /** Drop points by their height alone first, as the reference does with few points: the top level looks like one. */
  readonly rawPass: boolean;
}

export const FIT_DEFAULTS: FitOptions = {
  smallRange: 8,
  extremeOutlier: 2,
  conservativeOutlier: 1.5,
  minRSquared: 0.7,
  removeOutliers: true,
  rawPass: false,
};

type Point = readonly [x: number, y: number];

const MIN_POINTS_FOR_OUTLIERS = 5;
/** Of the largest y: what rounding may leave of a residual that is none. */
const ROUNDING = 1e-12;

/** Least-squares line without outliers; undefined with fewer than two points. `r_squared` may be below the bar. */
export function fitLine(points: readonly Point[], options: FitOptions): LineFit | undefined {
  if (points.length < 2) return undefined;
  let kept = points;
  if (options.removeOutliers && points.length >= MIN_POINTS_FOR_OUTLIERS) {
    if (options.rawPass && points.length <= options.smallRange)
      kept = within(kept, ([, y]) => y, options.extremeOutlier, 0);
    const first = leastSquares(kept);
    const residual = ([x, y]: Point): number => y - (first.slope * x + first.intercept);
    const slack = ROUNDING * Math.max(...kept.map(([, y]) => Math.abs(y)));
    kept = within(kept, residual, options.conservativeOutlier, slack);
  }
  const removed = points.filter((point) => !kept.includes(point)).map(([x]) => x);
  const { slope, intercept } = leastSquares(kept);
  const meanY = kept.reduce((sum, [, y]) => sum + y, 0) / kept.length;
  const rest = kept.reduce((sum, [x, y]) => sum + (y - slope * x - intercept) ** 2, 0);
  const total = kept.reduce((sum, [, y]) => sum + (y - meanY) ** 2, 0);
  return { slope, intercept, r_squared: total === 0 ? 0 : 1 - rest / total, outliers_removed: removed };
}

/** Points whose value lies within `factor` interquartile ranges and `slack` of the quartiles, bounds included. */
function within(
  points: readonly Point[],
  value: (point: Point) => number,
  factor: number,
  slack: number,
): readonly Point[] {
  const ascending = Float64Array.from(points, value).sort();
  const [q1, q3] = [percentile(ascending, 25), percentile(ascending, 75)];
  const reach = factor * (q3 - q1) + slack;
  return points.filter((point) => value(point) >= q1 - reach && value(point) <= q3 + reach);
}

function leastSquares(points: readonly Point[]): { readonly slope: number; readonly intercept: number } {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  let products = 0;
  let squares = 0;
  for (const [x, y] of points) {
    products += (x - meanX) * (y - meanY);
    squares += (x - meanX) ** 2;
  }
  const slope = squares === 0 ? 0 : products / squares;
  return { slope, intercept: meanY - slope * meanX };
}
