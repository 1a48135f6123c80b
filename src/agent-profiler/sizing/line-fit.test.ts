import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FIT_DEFAULTS, type FitOptions, fitLine } from './line-fit.ts';

type Point = readonly [x: bigint, y: bigint];

const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n);

/** The least-squares line by its normal equations, in whole numbers; residuals are multiplied by `unit`. */
function exactLine(points: readonly Point[]) {
  const n = BigInt(points.length);
  const [sx, sy] = [sum(points.map(([x]) => x)), sum(points.map(([, y]) => y))];
  const determinant = n * sum(points.map(([x]) => x * x)) - sx * sx;
  const rise = n * sum(points.map(([x, y]) => x * y)) - sx * sy;
  const unit = n * determinant;
  const base = sy * determinant - rise * sx;
  const residual = ([x, y]: Point): bigint => y * unit - rise * n * x - base;
  const rest = sum(points.map((point) => residual(point) ** 2n));
  const spread = n * sum(points.map(([, y]) => y * y)) - sy * sy;
  return {
    residual,
    slope: Number(rise) / Number(determinant),
    intercept: Number(base) / Number(unit),
    rSquared: spread === 0n ? 0 : 1 - Number(n * rest) / Number(unit ** 2n * spread),
  };
}

/** Four times a quartile (1 or 3), by linear interpolation between ranked values. */
function quartile(values: readonly bigint[], which: number): bigint {
  const ranked = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const way = (values.length - 1) * which;
  const low = ranked[Math.floor(way / 4)]!;
  const high = ranked[Math.ceil(way / 4)]!;
  return 4n * low + BigInt(way % 4) * (high - low);
}

/** Points within `halves` / 2 interquartile ranges of the quartiles, the bounds among them. */
function within(points: readonly Point[], value: (point: Point) => bigint, halves: bigint): readonly Point[] {
  const values = points.map(value);
  const [q1, q3] = [quartile(values, 1), quartile(values, 3)];
  const reach = halves * (q3 - q1);
  return points.filter((point) => {
    const at = 8n * value(point);
    return at >= 2n * q1 - reach && at <= 2n * q3 + reach;
  });
}

function slowFit(points: readonly Point[], options: FitOptions) {
  let kept = points;
  if (options.removeOutliers && points.length > 4) {
    if (options.rawPass && points.length <= 8) kept = within(kept, ([, y]) => y, 4n);
    kept = within(kept, exactLine(kept).residual, 3n);
  }
  const { slope, intercept, rSquared } = exactLine(kept);
  const removed = points.filter((point) => !kept.includes(point)).map(([x]) => Number(x));
  return { slope, intercept, rSquared, removed };
}

/** Levels near a line, some far off, or anywhere; all whole, so that bounds are met exactly. */
const levels = fc
  .tuple(
    fc.uniqueArray(fc.integer({ min: 1, max: 64 }), { minLength: 2, maxLength: 12 }),
    fc.nat(5),
    fc.constantFrom(0, 2, 100),
    fc.array(fc.nat(100), { minLength: 12, maxLength: 12 }),
  )
  .map(([xs, slope, noise, draws]) =>
    xs.map((x, i) => [x, slope * x + (draws[i]! > 90 ? 150 : draws[i]! % (noise + 1))] as const),
  );

test('a line and its outliers equal those of whole-number arithmetic, under both rules', () => {
  const property = fc.property(levels, fc.boolean(), fc.boolean(), (points, rawPass, removeOutliers) => {
    const options = { ...FIT_DEFAULTS, rawPass, removeOutliers };
    const exact = points.map(([x, y]): Point => [BigInt(x), BigInt(y)]);
    const expected = slowFit(exact, options);
    const fit = fitLine(points, options)!;
    expect(fit.outliers_removed).toEqual(expected.removed);
    expect(fit.slope).toBeCloseTo(expected.slope, 9);
    expect(fit.intercept).toBeCloseTo(expected.intercept, 8);
    expect(fit.r_squared).toBeCloseTo(expected.rSquared, 9);
  });
  fc.assert(property, { numRuns: 1000 });
});

test('one point makes no line', () => {
  expect(fitLine([[1, 2]], FIT_DEFAULTS)).toBeUndefined();
});
