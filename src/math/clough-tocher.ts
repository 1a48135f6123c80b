import { barycentric, type Triangulation } from './triangulation.ts';

type Vector = readonly [number, number];

const MOST_SWEEPS = 400;
const TOLERANCE = 1e-6;
/** Slack for points on an edge. */
const EDGE = 1e-10;

/** A smooth surface through scattered values; undefined outside their convex hull. */
export type ScatteredSurface = (x: number, y: number) => number | undefined;

/**
 * The C1 Clough-Tocher interpolant on a triangulation (Alfeld 1984; gradients by minimising curvature along the edges,
 * Nielson 1983), as scipy's `CloughTocher2DInterpolator`.
 */
export function cloughTocher(mesh: Triangulation, values: ArrayLike<number>): ScatteredSurface {
  const gradients = vertexGradients(mesh, values);
  const patches = mesh.triangles.map((_, triangle) => patchOf(mesh, values, gradients, triangle));
  return (x, y) => {
    for (let triangle = 0; triangle < patches.length; triangle++) {
      const at = barycentric(mesh, triangle, x, y);
      if (Math.min(...at) >= -EDGE) return evaluate(patches[triangle]!, at);
    }
    return undefined;
  };
}

/** Gradients at the vertices, by Gauss-Seidel sweeps in order of index. */
export function vertexGradients(mesh: Triangulation, values: ArrayLike<number>): Vector[] {
  const gradients: Vector[] = Array.from({ length: mesh.x.length }, () => [0, 0]);
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let largest = 0;
    for (const i of gradients.keys()) {
      if (mesh.around[i]!.length === 0) continue;
      const before = gradients[i]!;
      const after = flattest(mesh, values, gradients, i);
      gradients[i] = after;
      const change = Math.max(Math.abs(before[0] - after[0]), Math.abs(before[1] - after[1]));
      largest = Math.max(largest, change / Math.max(1, Math.abs(after[0]), Math.abs(after[1])));
    }
    if (largest < TOLERANCE) break;
  }
  return gradients;
}

/** The gradient at one vertex that bends its edges least while the others stay. */
function flattest(
  mesh: Triangulation,
  values: ArrayLike<number>,
  gradients: readonly Vector[],
  i: number,
): Vector {
  let [qxx, qxy, qyy, sx, sy] = [0, 0, 0, 0, 0];
  for (const j of mesh.around[i]!) {
    const ex = mesh.x[j]! - mesh.x[i]!;
    const ey = mesh.y[j]! - mesh.y[i]!;
    const cubed = Math.hypot(ex, ey) ** 3;
    const along = -(ex * gradients[j]![0] + ey * gradients[j]![1]);
    const bend = 6 * (values[i]! - values[j]!) - 2 * along;
    qxx += (4 * ex * ex) / cubed;
    qxy += (4 * ex * ey) / cubed;
    qyy += (4 * ey * ey) / cubed;
    sx += (bend * ex) / cubed;
    sy += (bend * ey) / cubed;
  }
  const determinant = qxx * qyy - qxy * qxy;
  return [-(qyy * sx - qxy * sy) / determinant, -(qxx * sy - qxy * sx) / determinant];
}

/** Bezier ordinates of the split triangle, named by the powers of the four barycentric coordinates. */
interface Patch {
  readonly [ordinate: `c${string}`]: number;
}

function patchOf(
  mesh: Triangulation,
  values: ArrayLike<number>,
  gradients: readonly Vector[],
  triangle: number,
): Patch {
  const corners = mesh.triangles[triangle]!;
  const [f1, f2, f3] = corners.map((vertex) => values[vertex]!) as [number, number, number];
  const slope = (from: number, to: number): number => {
    const [a, b] = [corners[from]!, corners[to]!];
    return gradients[a]![0] * (mesh.x[b]! - mesh.x[a]!) + gradients[a]![1] * (mesh.y[b]! - mesh.y[a]!);
  };
  const c2100 = f1 + slope(0, 1) / 3;
  const c2010 = f1 + slope(0, 2) / 3;
  const c1200 = f2 + slope(1, 0) / 3;
  const c0210 = f2 + slope(1, 2) / 3;
  const c1020 = f3 + slope(2, 0) / 3;
  const c0120 = f3 + slope(2, 1) / 3;
  const c2001 = (c2100 + c2010 + f1) / 3;
  const c0201 = (c1200 + f2 + c0210) / 3;
  const c0021 = (c1020 + c0120 + f3) / 3;
  const [w0, w1, w2] = edgeWeights(mesh, triangle);
  const c0111 = (w0 * (-f2 + 3 * c0210 - 3 * c0120 + f3) + (-f2 + 2 * c0210 - c0120 + c0021 + c0201)) / 2;
  const c1011 = (w1 * (-f3 + 3 * c1020 - 3 * c2010 + f1) + (-f3 + 2 * c1020 - c2010 + c2001 + c0021)) / 2;
  const c1101 = (w2 * (-f1 + 3 * c2100 - 3 * c1200 + f2) + (-f1 + 2 * c2100 - c1200 + c2001 + c0201)) / 2;
  const c1002 = (c1101 + c1011 + c2001) / 3;
  const c0102 = (c1101 + c0111 + c0201) / 3;
  const c0012 = (c1011 + c0111 + c0021) / 3;
  const c0003 = (c1002 + c0102 + c0012) / 3;
  const outer = { c3000: f1, c0300: f2, c0030: f3, c2100, c2010, c1200, c0210, c1020, c0120 };
  return { ...outer, c2001, c0201, c0021, c0111, c1011, c1101, c1002, c0102, c0012, c0003 };
}

/** Direction of the derivative that is made continuous across each edge; -1/2 where there is no neighbour. */
function edgeWeights(mesh: Triangulation, triangle: number): [number, number, number] {
  const weight = (corner: 0 | 1 | 2): number => {
    const neighbour = mesh.neighbours[triangle]![corner];
    if (neighbour < 0) return -0.5;
    const around = mesh.triangles[neighbour]!;
    const middle = (of: ArrayLike<number>): number =>
      around.reduce((sum, vertex) => sum + of[vertex]!, 0) / 3;
    const c = barycentric(mesh, triangle, middle(mesh.x), middle(mesh.y));
    const [next, last] = [c[((corner + 1) % 3) as 0 | 1 | 2], c[((corner + 2) % 3) as 0 | 1 | 2]];
    return (2 * last + next - 1) / (2 - 3 * last - 3 * next);
  };
  return [weight(0), weight(1), weight(2)];
}

/** The cubic of the sub-triangle that the point is in; one of the first three coordinates is 0 there. */
function evaluate(patch: Patch, at: readonly [number, number, number]): number {
  const least = Math.min(...at);
  const [b1, b2, b3] = at.map((value) => value - least) as [number, number, number];
  const b4 = 3 * least;
  const p = patch as Readonly<Record<string, number>>;
  return (
    b1 ** 3 * p.c3000! +
    3 * b1 ** 2 * (b2 * p.c2100! + b3 * p.c2010! + b4 * p.c2001!) +
    3 *
      b1 *
      (b2 ** 2 * p.c1200! +
        2 * b2 * b4 * p.c1101! +
        b3 ** 2 * p.c1020! +
        2 * b3 * b4 * p.c1011! +
        b4 ** 2 * p.c1002!) +
    b2 ** 3 * p.c0300! +
    3 * b2 ** 2 * (b3 * p.c0210! + b4 * p.c0201!) +
    3 * b2 * (b3 ** 2 * p.c0120! + 2 * b3 * b4 * p.c0111! + b4 ** 2 * p.c0102!) +
    b3 ** 3 * p.c0030! +
    3 * b3 ** 2 * b4 * p.c0021! +
    3 * b3 * b4 ** 2 * p.c0012! +
    b4 ** 3 * p.c0003!
  );
}
