import { cloughTocher } from '../math/clough-tocher.ts';
import { triangulate } from '../math/triangulation.ts';
import { type Surface, type SurfacePoint, surfaceChart } from '../plot/surface.ts';
import type { Svg } from '../plot/svg.ts';
import { decodeArrays } from './interpolation-files.ts';
import type { SlaProfile } from './result.ts';

const CELLS = 60;
/** Of the width of the data: a point on the very edge may be outside by rounding. */
const INSET = 1e-6;

export function decodeItlSurface(profile: SlaProfile): Svg {
  const { z_itl: itl } = decodeArrays(profile.decodeCurve);
  const { itlMs } = profile.target;
  return decodeSurface(profile, itl, profile.recommendation.decode.chosen.latencyMs, {
    title: 'Decode ITL',
    zLabel: 'ITL (ms)',
    colors: 'coolWarm',
    limit: { value: itlMs, label: `Target ITL: ${itlMs} ms` },
  });
}

export function decodeThroughputSurface(profile: SlaProfile): Svg {
  const { z_thpt_per_gpu: throughput } = decodeArrays(profile.decodeCurve);
  return decodeSurface(profile, throughput, profile.recommendation.decode.chosen.tokensPerSPerGpu, {
    title: 'Decode throughput',
    zLabel: 'Throughput per GPU',
    colors: 'viridis',
  });
}

/** The measured points with the smooth surface through them, over the range of the data; the selected point marked. */
function decodeSurface(
  { decodeCurve, target, recommendation }: SlaProfile,
  heights: readonly number[],
  chosen: number,
  style: Pick<Surface, 'title' | 'zLabel' | 'colors' | 'limit'>,
): Svg {
  const { x_kv_usage: kv, y_context_length: context } = decodeArrays(decodeCurve);
  const points = kv.map((x, i) => ({ x, y: context[i]!, z: heights[i]! }));
  const { concurrency } = recommendation.decode.chosen;
  return surfaceChart({
    ...style,
    xLabel: 'Active KV Percentage',
    yLabel: 'Decode Context Length',
    mesh: smoothMesh(points),
    points,
    marks: [
      {
        x: recommendation.kvUtilisation,
        y: target.islTokens + target.oslTokens / 2,
        z: chosen,
        label: `${concurrency} in flight, selected`,
      },
    ],
  });
}

/** Rows across the data, each from its lowest to its highest KV use, so that the edges are smooth. */
function smoothMesh(points: readonly SurfacePoint[]): SurfacePoint[][] {
  const triangulation = triangulate(
    points.map(({ x }) => x),
    points.map(({ y }) => y),
  );
  // No surface runs through points on one line, such as a single context length.
  if (triangulation.triangles.length === 0) return [];
  const surface = cloughTocher(
    triangulation,
    points.map(({ z }) => z),
  );
  const rows = extents(points);
  const [low, high] = [rows[0]!.y, rows.at(-1)!.y];
  return shares().map((down) => {
    const y = low + (high - low) * down;
    const [left, right] = extentAt(rows, y);
    return shares().map((across) => {
      const x = left + (right - left) * across;
      return { x, y, z: surface(x, y) ?? Number.NaN };
    });
  });
}

interface Extent {
  readonly y: number;
  readonly left: number;
  readonly right: number;
}

function extents(points: readonly SurfacePoint[]): Extent[] {
  const rows = new Map<number, number[]>();
  for (const { x, y } of points) rows.set(y, [...(rows.get(y) ?? []), x]);
  return [...rows]
    .map(([y, xs]) => ({ y, left: Math.min(...xs), right: Math.max(...xs) }))
    .toSorted((a, b) => a.y - b.y);
}

/** Between two contexts the edges run straight, as the hull of the points does. */
function extentAt(rows: readonly Extent[], y: number): readonly [number, number] {
  const above = Math.max(
    1,
    rows.findIndex((row) => row.y >= y),
  );
  const [from, to] = [rows[above - 1]!, rows[above]!];
  const share = (y - from.y) / (to.y - from.y);
  return [from.left + (to.left - from.left) * share, from.right + (to.right - from.right) * share];
}

function shares(): number[] {
  return Array.from({ length: CELLS }, (_, i) => INSET + ((1 - 2 * INSET) * i) / (CELLS - 1));
}
