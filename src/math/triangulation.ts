import Delaunator from 'delaunator';

/** A Delaunay triangulation; corners run counter-clockwise. */
export interface Triangulation {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  /** Vertex indices of each triangle. */
  readonly triangles: readonly (readonly [number, number, number])[];
  /** Of each triangle, the one across the edge opposite each corner; -1 outside. */
  readonly neighbours: readonly (readonly [number, number, number])[];
  /** Of each vertex, the vertices it shares an edge with. */
  readonly around: readonly (readonly number[])[];
}

/** Triangles flatter than this share of the bounding box are rounding of a straight hull edge, not area. */
const SLIVER = 1e-9;

export function triangulate(x: ArrayLike<number>, y: ArrayLike<number>): Triangulation {
  const points = Float64Array.from({ length: 2 * x.length }, (_, i) =>
    i % 2 === 0 ? x[i >> 1]! : y[i >> 1]!,
  );
  const flat = new Delaunator(points).triangles;
  const smallest = SLIVER * extent(x) * extent(y);
  const triangles: (readonly [number, number, number])[] = [];
  for (let t = 0; t < flat.length; t += 3) {
    // delaunator winds clockwise where y points up.
    const corners = [flat[t]!, flat[t + 2]!, flat[t + 1]!] as const;
    if (Math.abs(doubleArea(x, y, ...corners)) / 2 > smallest) triangles.push(corners);
  }
  const edges = new Map<string, number>();
  for (const [t, [a, b, c]] of triangles.entries()) {
    for (const [from, to] of [
      [b, c],
      [c, a],
      [a, b],
    ])
      edges.set(`${from},${to}`, t);
  }
  const across = (from: number, to: number): number => edges.get(`${to},${from}`) ?? -1;
  const neighbours = triangles.map(([a, b, c]) => [across(b, c), across(c, a), across(a, b)] as const);
  const around = Array.from({ length: x.length }, () => new Set<number>());
  for (const [a, b, c] of triangles) {
    for (const [from, to] of [
      [a, b],
      [b, c],
      [c, a],
    ]) {
      around[from!]!.add(to!);
      around[to!]!.add(from!);
    }
  }
  return { x, y, triangles, neighbours, around: around.map((near) => [...near].sort((p, q) => p - q)) };
}

/** Barycentric coordinates of a point in a triangle; all within 0..1 inside. */
export function barycentric(
  mesh: Triangulation,
  triangle: number,
  atX: number,
  atY: number,
): [number, number, number] {
  const [a, b, c] = mesh.triangles[triangle]!;
  const { x, y } = mesh;
  const area = doubleArea(x, y, a, b, c);
  const first = ((x[b]! - atX) * (y[c]! - atY) - (x[c]! - atX) * (y[b]! - atY)) / area;
  const second = ((x[c]! - atX) * (y[a]! - atY) - (x[a]! - atX) * (y[c]! - atY)) / area;
  return [first, second, 1 - first - second];
}

function doubleArea(x: ArrayLike<number>, y: ArrayLike<number>, a: number, b: number, c: number): number {
  return (x[b]! - x[a]!) * (y[c]! - y[a]!) - (x[c]! - x[a]!) * (y[b]! - y[a]!);
}

function extent(values: ArrayLike<number>): number {
  const all = Array.from(values);
  return all.reduce((a, b) => Math.max(a, b), -Infinity) - all.reduce((a, b) => Math.min(a, b), Infinity);
}
