import { scaleLinear } from 'd3-scale';
import { tickText } from './axes.ts';
import { drawing, element, label, pathThrough, type Svg } from './svg.ts';
import { type ColorMap, colorAt, FONT, THEME, textWidth } from './theme.ts';

export interface SurfacePoint {
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

export interface Surface {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly zLabel: string;
  /** Rows of equally many points, x rising along a row and y from row to row; a z of NaN leaves a hole. */
  readonly mesh: readonly (readonly SurfacePoint[])[];
  /** Measured points, drawn as dots. */
  readonly points?: readonly SurfacePoint[];
  /** Points to circle, with captions. */
  readonly marks?: readonly (SurfacePoint & { readonly label: string })[];
  /** A height to trace across the surface, dashed red, with its caption. */
  readonly limit?: { readonly value: number; readonly label: string };
  readonly colors?: ColorMap;
  readonly width?: number;
  readonly height?: number;
}

type Point = readonly [number, number];
interface Projection {
  /** Screen position of a point of the unit cube. */
  at(x: number, y: number, z: number): Point;
  /** Larger is farther from the eye. */
  depth(x: number, y: number, z: number): number;
  readonly sin: number;
  readonly cos: number;
}

const AZIMUTH = (41 * Math.PI) / 180;
const ELEVATION = (29 * Math.PI) / 180;
const HEIGHT_RATIO = 0.68;
const LIMIT_LINE = { stroke: THEME.limit, 'stroke-width': 2, 'stroke-dasharray': '5 3' };
/** One piece per quad: too short for dashes. */
const CONTOUR = { stroke: THEME.limit, 'stroke-width': 2, 'stroke-linecap': 'round' };

/** An axonometric surface: quads painted from back to front, grid on the floor and the two back walls. */
export function surfaceChart(chart: Surface): Svg {
  const { width = 1000, height = 760, colors = 'viridis', mesh, points = [], marks = [], limit } = chart;
  const all = [...mesh.flat(), ...points, ...marks];
  const scales = {
    x: axis(all.map(({ x }) => x)),
    y: axis(all.map(({ y }) => y)),
    z: axis(all.map(({ z }) => z).filter(Number.isFinite)),
  };
  const view = project(highestCorner(chart), width - 130, height - 80);
  const place = ({ x, y, z }: SurfacePoint): Point =>
    view.at(scales.x.unit(x), scales.y.unit(y), scales.z.unit(z));
  const title = label(chart.title, 40, 36, { 'font-size': FONT.title, 'font-weight': 600, fill: THEME.ink });
  const dots = points.map((point) => {
    const [cx, cy] = place(point);
    return element('circle', { cx, cy, r: 3.5, fill: '#ffffff', stroke: THEME.ink, 'stroke-width': 1.2 });
  });
  const body = element(
    'g',
    { transform: 'translate(0 60)' },
    box(view, scales.x, scales.y, scales.z, chart),
    quads(chart, scales, view, colors),
    ...dots,
    ...marks.map((mark) => ring(mark.label, place(mark), width - 130)),
  );
  return drawing(
    width,
    height,
    title,
    limit === undefined ? '' : limitCaption(limit, scales.z),
    body,
    colorBar(scales.z, chart.zLabel, colors, width, height, limit?.value),
  );
}

/** Named below the title, since the line itself may be short, hidden, or beyond the surface. */
function limitCaption({ value, label: name }: NonNullable<Surface['limit']>, z: Axis): Svg {
  const where = value > z.high ? ', above every point' : value < z.low ? ', below every point' : '';
  const dash = element('line', { x1: 40, x2: 66, y1: 56, y2: 56, ...LIMIT_LINE });
  return dash + label(`${name}${where}`, 74, 60, { 'font-size': FONT.note, fill: THEME.limit });
}

function ring(text: string, [cx, cy]: Point, right: number): Svg {
  const circle = element('circle', {
    cx,
    cy,
    r: 9,
    fill: 'none',
    stroke: THEME.marker,
    'stroke-width': 3,
  });
  const before = cx + 14 + textWidth(text, FONT.note) > right;
  const style = {
    'font-size': FONT.note,
    'font-weight': 600,
    'text-anchor': before ? 'end' : 'start',
    fill: THEME.ink,
    stroke: '#ffffff',
    'stroke-width': 3,
    'paint-order': 'stroke',
  };
  return circle + label(text, before ? cx - 14 : cx + 14, cy + 4, style);
}

interface Scales {
  readonly x: Axis;
  readonly y: Axis;
  readonly z: Axis;
}

interface Axis {
  unit(value: number): number;
  readonly ticks: readonly number[];
  readonly low: number;
  readonly high: number;
}

function axis(values: readonly number[]): Axis {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const scale = scaleLinear().domain(low < high ? [low, high] : [low - 0.5, low + 0.5]);
  return { unit: (value) => scale(value), ticks: scale.ticks(6), low, high };
}

/** Quarter turns that put the highest corner of the surface at the back, where it hides nothing. */
function highestCorner({ mesh }: Surface): number {
  const [first, last] = [mesh[0], mesh.at(-1)];
  const corners = [last?.at(-1), first?.at(-1), first?.[0], last?.[0]].map((corner) =>
    corner !== undefined && Number.isFinite(corner.z) ? corner.z : Number.NEGATIVE_INFINITY,
  );
  return corners.indexOf(Math.max(...corners));
}

function project(quarterTurns: number, width: number, height: number): Projection {
  const angle = AZIMUTH + (quarterTurns * Math.PI) / 2;
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const turn = (x: number, y: number): Point => [
    (x - 0.5) * cos - (y - 0.5) * sin,
    (x - 0.5) * sin + (y - 0.5) * cos,
  ];
  const flat = (x: number, y: number, z: number): Point => {
    const [across, away] = turn(x, y);
    return [across, -away * Math.sin(ELEVATION) - z * HEIGHT_RATIO * Math.cos(ELEVATION)];
  };
  const corners = [0, 1].flatMap((x) => [0, 1].flatMap((y) => [0, 1].map((z) => flat(x, y, z))));
  const [left, right] = extent(corners.map(([across]) => across));
  const [top, bottom] = extent(corners.map(([, down]) => down));
  const margin = { left: 110, right: 40, top: 20, bottom: 80 };
  const unit = Math.min(
    (width - margin.left - margin.right) / (right - left),
    (height - margin.top - margin.bottom) / (bottom - top),
  );
  return {
    at: (x, y, z) => {
      const [across, down] = flat(x, y, z);
      return [margin.left + (across - left) * unit, margin.top + (down - top) * unit];
    },
    depth: (x, y, z) => turn(x, y)[1] * Math.cos(ELEVATION) - z * HEIGHT_RATIO * Math.sin(ELEVATION),
    sin,
    cos,
  };
}

function quads({ mesh, limit }: Surface, { x, y, z }: Scales, view: Projection, colors: ColorMap): Svg {
  const painted: { depth: number; svg: Svg }[] = [];
  for (const [j, row] of mesh.slice(0, -1).entries()) {
    const next = mesh[j + 1]!;
    for (let i = 0; i + 1 < row.length; i++) {
      const corners = [row[i]!, row[i + 1]!, next[i + 1]!, next[i]!];
      if (corners.some((corner) => !Number.isFinite(corner.z))) continue;
      const places = corners.map((corner) => [x.unit(corner.x), y.unit(corner.y), z.unit(corner.z)] as const);
      const fill = colorAt(colors, places.reduce((sum, [, , up]) => sum + up, 0) / 4);
      const outline = places.map((at) => view.at(...at));
      const quad = element('path', {
        d: pathThrough(outline, true),
        fill,
        stroke: fill,
        'stroke-width': 0.6,
      });
      const crossing = limit === undefined ? [] : crossings(corners, outline, limit.value);
      const trace =
        crossing.length < 2 ? '' : element('path', { d: pathThrough(crossing), fill: 'none', ...CONTOUR });
      painted.push({ depth: places.reduce((sum, at) => sum + view.depth(...at), 0), svg: quad + trace });
    }
  }
  painted.sort((a, b) => b.depth - a.depth);
  return painted.map(({ svg }) => svg).join('');
}

/** Where the edges of a quad pass a height. */
function crossings(corners: readonly SurfacePoint[], outline: readonly Point[], height: number): Point[] {
  return corners.flatMap((from, i): Point[] => {
    const after = (i + 1) % corners.length;
    const to = corners[after]!;
    if (from.z < height === to.z < height) return [];
    const share = (height - from.z) / (to.z - from.z);
    const [[fromX, fromY], [toX, toY]] = [outline[i]!, outline[after]!];
    return [[fromX + share * (toX - fromX), fromY + share * (toY - fromY)]];
  });
}

/** Floor and back walls with their grids, and tick labels on the front edges. */
function box(view: Projection, x: Axis, y: Axis, z: Axis, chart: Surface): Svg {
  // An edge is at the front when its points are nearer to the eye.
  const frontY = view.cos > 0 ? 0 : 1;
  const frontX = view.sin > 0 ? 0 : 1;
  const [backX, backY] = [1 - frontX, 1 - frontY];
  const line = (from: Point, to: Point): Svg =>
    element('line', {
      x1: from[0],
      y1: from[1],
      x2: to[0],
      y2: to[1],
      stroke: THEME.grid,
      'stroke-width': 1.2,
    });
  const parts: Svg[] = [];
  const tick = (text: string, [atX, atY]: Point, dx: number, dy: number): Svg =>
    label(text, atX + dx, atY + dy, {
      'font-size': FONT.tick,
      fill: THEME.muted,
      'text-anchor': dx < 0 ? 'end' : 'start',
    });
  const [leftmost] = extent([
    view.at(0, frontY, 0)[0],
    view.at(1, frontY, 0)[0],
    view.at(frontX, 0, 0)[0],
    view.at(frontX, 1, 0)[0],
  ]);
  const xRunsRight = Math.abs(view.at(backX, frontY, 0)[0] - leftmost) > 1;
  for (const value of x.ticks) {
    const u = x.unit(value);
    parts.push(line(view.at(u, 0, 0), view.at(u, 1, 0)), line(view.at(u, backY, 0), view.at(u, backY, 1)));
    parts.push(tick(tickText(value), view.at(u, frontY, 0), xRunsRight ? 8 : -8, 18));
  }
  for (const value of y.ticks) {
    const u = y.unit(value);
    parts.push(line(view.at(0, u, 0), view.at(1, u, 0)), line(view.at(backX, u, 0), view.at(backX, u, 1)));
    parts.push(tick(tickText(value), view.at(frontX, u, 0), xRunsRight ? -8 : 8, 18));
  }
  const silhouette: readonly [number, number] =
    view.at(backX, frontY, 0)[0] < view.at(frontX, backY, 0)[0] ? [backX, frontY] : [frontX, backY];
  for (const value of z.ticks) {
    const u = z.unit(value);
    parts.push(
      line(view.at(backX, 0, u), view.at(backX, 1, u)),
      line(view.at(0, backY, u), view.at(1, backY, u)),
    );
    parts.push(tick(tickText(value), view.at(...silhouette, u), -10, 4));
  }
  const name = (text: string, [atX, atY]: Point, dx: number, dy: number): Svg =>
    label(text, atX + dx, atY + dy, { 'font-size': FONT.label, fill: THEME.ink, 'text-anchor': 'middle' });
  parts.push(name(chart.xLabel, view.at(0.5, frontY, 0), xRunsRight ? 70 : -70, 58));
  parts.push(name(chart.yLabel, view.at(frontX, 0.5, 0), xRunsRight ? -70 : 70, 58));
  return parts.join('');
}

function colorBar(
  z: Axis,
  name: string,
  colors: ColorMap,
  width: number,
  height: number,
  limit: number | undefined,
): Svg {
  const [top, bottom, left] = [110, height - 130, width - 105];
  const steps = 60;
  const step = (bottom - top) / steps;
  const bands = Array.from({ length: steps }, (_, i) =>
    element('rect', {
      x: left,
      y: bottom - (i + 1) * step,
      width: 20,
      height: step + 0.5,
      fill: colorAt(colors, (i + 0.5) / steps),
    }),
  );
  const ticks = z.ticks.map((value) =>
    label(tickText(value), left + 28, bottom - z.unit(value) * (bottom - top) + 4, {
      'font-size': FONT.tick,
      fill: THEME.muted,
    }),
  );
  const at = limit === undefined ? Number.NaN : bottom - z.unit(limit) * (bottom - top);
  const line =
    at >= top && at <= bottom
      ? element('line', { x1: left - 4, x2: left + 24, y1: at, y2: at, ...LIMIT_LINE })
      : '';
  return (
    bands.join('') +
    line +
    ticks.join('') +
    // Flush right, since a long name has room to its left only.
    label(name, width - 12, top - 14, { 'font-size': FONT.label, fill: THEME.ink, 'text-anchor': 'end' })
  );
}

function extent(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}
