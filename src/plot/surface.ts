import { scaleLinear } from 'd3-scale';
import { tickText } from './axes.ts';
import { drawing, element, label, pathThrough, type Svg } from './svg.ts';
import { type ColorMap, colorAt, FONT, THEME } from './theme.ts';

export interface Surface {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly zLabel: string;
  /** Grid coordinates, ascending. */
  readonly x: readonly number[];
  readonly y: readonly number[];
  /** Height at `[yIndex][xIndex]`; NaN leaves a hole. */
  readonly z: readonly (readonly number[])[];
  /** Measured points, drawn as dots. */
  readonly points?: readonly { readonly x: number; readonly y: number; readonly z: number }[];
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

/** An axonometric surface: quads painted from back to front, grid on the floor and the two back walls. */
export function surfaceChart(chart: Surface): Svg {
  const { width = 1000, height = 760, colors = 'viridis' } = chart;
  const x = axis(chart.x);
  const y = axis(chart.y);
  const heights = [...chart.z.flat(), ...(chart.points ?? []).map((point) => point.z)].filter(
    Number.isFinite,
  );
  const z = axis(heights);
  const view = project(highestCorner(chart), width - 130, height - 80);
  const title = label(chart.title, 40, 36, { 'font-size': FONT.title, 'font-weight': 600, fill: THEME.ink });
  const dots = (chart.points ?? []).map((point) => {
    const [cx, cy] = view.at(x.unit(point.x), y.unit(point.y), z.unit(point.z));
    return element('circle', { cx, cy, r: 3.5, fill: '#ffffff', stroke: THEME.limit, 'stroke-width': 1.4 });
  });
  const body = element(
    'g',
    { transform: 'translate(0 60)' },
    box(view, x, y, z, chart),
    quads(chart, x, y, z, view, colors),
    ...dots,
  );
  return drawing(width, height, title, body, colorBar(z, chart.zLabel, colors, width, height));
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
function highestCorner({ z }: Surface): number {
  const last = z.length - 1;
  const atBack = [z[last]?.at(-1), z[0]?.at(-1), z[0]?.[0], z[last]?.[0]];
  const corners = atBack.map((value) =>
    value !== undefined && Number.isFinite(value) ? value : Number.NEGATIVE_INFINITY,
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

function quads(chart: Surface, x: Axis, y: Axis, z: Axis, view: Projection, colors: ColorMap): Svg {
  const painted: { depth: number; svg: Svg }[] = [];
  for (let j = 0; j + 1 < chart.y.length; j++) {
    for (let i = 0; i + 1 < chart.x.length; i++) {
      const corners = [
        [i, j] as const,
        [i + 1, j] as const,
        [i + 1, j + 1] as const,
        [i, j + 1] as const,
      ].map(([a, b]) => [x.unit(chart.x[a]!), y.unit(chart.y[b]!), chart.z[b]?.[a] ?? Number.NaN] as const);
      if (corners.some(([, , value]) => !Number.isFinite(value))) continue;
      const mean = corners.reduce((sum, [, , value]) => sum + value, 0) / 4;
      const fill = colorAt(colors, z.unit(mean));
      const outline = corners.map(([a, b, value]) => view.at(a, b, z.unit(value)));
      const depth = corners.reduce((sum, [a, b, value]) => sum + view.depth(a, b, z.unit(value)), 0);
      painted.push({
        depth,
        svg: element('path', { d: pathThrough(outline, true), fill, stroke: fill, 'stroke-width': 0.6 }),
      });
    }
  }
  painted.sort((a, b) => b.depth - a.depth);
  return painted.map(({ svg }) => svg).join('');
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

function colorBar(z: Axis, name: string, colors: ColorMap, width: number, height: number): Svg {
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
  return (
    bands.join('') +
    ticks.join('') +
    // Flush right, since a long name has room to its left only.
    label(name, width - 12, top - 14, { 'font-size': FONT.label, fill: THEME.ink, 'text-anchor': 'end' })
  );
}

function extent(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}
