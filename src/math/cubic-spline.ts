import { fail } from '../base/errors.ts';

/** A function of one variable. */
export type Curve = (x: number) => number;

/**
 * The cubic spline through the points with not-a-knot ends (as scipy's `interp1d(kind="cubic")`), constant beyond
 * them. Needs at least four ascending, distinct x. O(n) to build, O(log n) a call.
 */
export function cubicSpline(x: ArrayLike<number>, y: ArrayLike<number>): Curve {
  const n = x.length;
  if (n < 4) throw fail('KV_INTERNAL', { reason: `a cubic spline needs four points, not ${n}` });
  const slopes = knotSlopes(x, y);
  return (at) => {
    const clamped = Math.min(Math.max(at, x[0]!), x[n - 1]!);
    const i = segmentOf(x, clamped);
    const h = x[i + 1]! - x[i]!;
    const chord = (y[i + 1]! - y[i]!) / h;
    const t = clamped - x[i]!;
    const [from, to] = [slopes[i]!, slopes[i + 1]!];
    return (
      y[i]! + t * (from + t * ((3 * chord - 2 * from - to) / h + (t * (from + to - 2 * chord)) / (h * h)))
    );
  };
}

/** Slopes at the knots: continuous second derivatives inside, third ones across the outermost inner knots. */
function knotSlopes(x: ArrayLike<number>, y: ArrayLike<number>): Float64Array {
  const n = x.length;
  const h = Float64Array.from({ length: n - 1 }, (_, i) => x[i + 1]! - x[i]!);
  const chord = Float64Array.from({ length: n - 1 }, (_, i) => (y[i + 1]! - y[i]!) / h[i]!);
  const lower = new Float64Array(n);
  const middle = new Float64Array(n);
  const upper = new Float64Array(n);
  const right = new Float64Array(n);
  for (let i = 1; i < n - 1; i++) {
    lower[i] = h[i]!;
    middle[i] = 2 * (h[i - 1]! + h[i]!);
    upper[i] = h[i - 1]!;
    right[i] = 3 * (h[i]! * chord[i - 1]! + h[i - 1]! * chord[i]!);
  }
  const first = h[0]! + h[1]!;
  middle[0] = h[1]!;
  upper[0] = first;
  right[0] = ((h[0]! + 2 * first) * h[1]! * chord[0]! + h[0]! ** 2 * chord[1]!) / first;
  const last = h[n - 2]! + h[n - 3]!;
  middle[n - 1] = h[n - 3]!;
  lower[n - 1] = last;
  right[n - 1] = (h[n - 2]! ** 2 * chord[n - 3]! + (2 * last + h[n - 2]!) * h[n - 3]! * chord[n - 2]!) / last;
  return solveTridiagonal(lower, middle, upper, right);
}

/** Thomas' algorithm; overwrites its arguments. */
function solveTridiagonal(
  lower: Float64Array,
  middle: Float64Array,
  upper: Float64Array,
  right: Float64Array,
): Float64Array {
  const n = right.length;
  for (let i = 1; i < n; i++) {
    const factor = lower[i]! / middle[i - 1]!;
    middle[i]! -= factor * upper[i - 1]!;
    right[i]! -= factor * right[i - 1]!;
  }
  right[n - 1]! /= middle[n - 1]!;
  for (let i = n - 2; i >= 0; i--) right[i] = (right[i]! - upper[i]! * right[i + 1]!) / middle[i]!;
  return right;
}

function segmentOf(x: ArrayLike<number>, at: number): number {
  let low = 0;
  let high = x.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (x[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}
