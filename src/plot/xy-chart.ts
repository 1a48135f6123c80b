import { type AxisSpec, type Frame, frame } from './axes.ts';
import { covered, LabelPlacer, line, type Place } from './label-placer.ts';
import { drawing, element, label, pathThrough, type Svg } from './svg.ts';
import { FONT, seriesColor, THEME, textWidth } from './theme.ts';

export interface XyPoint {
  readonly x: number;
  readonly y: number;
  /** Written beside the point. */
  readonly label?: string;
}

export interface XySeries {
  readonly name: string;
  readonly points: readonly XyPoint[];
  readonly draw: 'line' | 'points' | 'line+points';
  readonly dashed?: boolean;
  readonly color?: string;
}

/** A limit line across the chart, dashed red, with its caption. */
export interface XyRule {
  readonly axis: 'x' | 'y';
  readonly value: number;
  readonly label: string;
  /** Which side meets the limit; it is tinted. */
  readonly good?: 'below' | 'above';
}

export interface XyChart {
  readonly title: string;
  readonly x: Omit<AxisSpec, 'domain'> & { readonly domain?: readonly [number, number] };
  readonly y: Omit<AxisSpec, 'domain'> & { readonly domain?: readonly [number, number] };
  readonly series: readonly XySeries[];
  readonly rules?: readonly XyRule[];
  /** Points to circle, such as the selected one; captions are kept clear of rules. */
  readonly marks?: readonly XyPoint[];
  readonly width?: number;
  readonly height?: number;
}

/** Lines and scatters: one frame, any number of series, limit lines and marked points. */
export function xyChart(chart: XyChart): Svg {
  const { width = 1000, height = 640 } = chart;
  const within = frame(
    chart.title,
    { ...chart.x, domain: chart.x.domain ?? domainOf(chart, 'x') },
    { ...chart.y, domain: chart.y.domain ?? domainOf(chart, 'y') },
    width,
    height,
  );
  const drawn = [
    ...chart.series.flatMap((series) => seriesTrace(series, within)),
    ...(chart.rules ?? []).flatMap((rule) => ruleTrace(rule, within)),
  ];
  const placed = new LabelPlacer(within, drawn);
  const colored = chart.series.map((series, i) => ({ ...series, color: series.color ?? seriesColor(i) }));
  return drawing(
    width,
    height,
    ...(chart.rules ?? []).map((rule) => tint(rule, within)),
    within.svg,
    ...(chart.rules ?? []).map((rule) => ruleLine(rule, within, placed)),
    ...colored.map((series) => seriesMarks(series, within)),
    ...(chart.marks ?? []).map((mark) => markPoint(mark, within, placed)),
    ...colored.flatMap((series) =>
      series.points
        .filter((point) => point.label !== undefined)
        .map((point) =>
          placed.beside(within.x(point.x), within.y(point.y), point.label ?? '', { fill: series.color }),
        ),
    ),
    colored.length > 1 ? legend(colored, drawn, within) : '',
  );
}

function domainOf(chart: XyChart, axis: 'x' | 'y'): readonly [number, number] {
  const rules = (chart.rules ?? []).filter((rule) => rule.axis === axis).map((rule) => rule.value);
  const log = chart[axis].log === true;
  const values = [
    ...chart.series.flatMap((series) => series.points.map((point) => point[axis])),
    ...(chart.marks ?? []).map((mark) => mark[axis]),
    ...rules,
  ].filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (values.length === 0) return log ? [1, 10] : [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const room = log ? 0 : (high - low) * 0.05;
  return [!log && low >= 0 && low < high * 0.4 ? 0 : low - room, high + room];
}

function seriesMarks(series: XySeries & { color: string }, { x, y }: Frame): Svg {
  const points = series.points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  const line = element('path', {
    d: pathThrough(points.map((point) => [x(point.x), y(point.y)] as const)),
    fill: 'none',
    stroke: series.color,
    'stroke-width': 2,
    'stroke-dasharray': series.dashed === true ? '6 4' : undefined,
  });
  const dots = points.map((point) =>
    element('circle', {
      cx: x(point.x),
      cy: y(point.y),
      r: 4,
      fill: series.color,
      stroke: '#ffffff',
      'stroke-width': 1,
    }),
  );
  if (series.draw === 'line') return line;
  return series.draw === 'points' ? dots.join('') : line + dots.join('');
}

function tint(rule: XyRule, { x, y, left, right, top, bottom }: Frame): Svg {
  if (rule.good === undefined) return '';
  if (rule.axis === 'x') {
    const at = x(rule.value);
    const from = rule.good === 'below' ? left : at;
    const to = rule.good === 'below' ? at : right;
    return element('rect', {
      x: from,
      y: top,
      width: Math.max(0, to - from),
      height: bottom - top,
      fill: THEME.good,
    });
  }
  const at = y(rule.value);
  const from = rule.good === 'below' ? at : top;
  const to = rule.good === 'below' ? bottom : at;
  return element('rect', {
    x: left,
    y: from,
    width: right - left,
    height: Math.max(0, to - from),
    fill: THEME.good,
  });
}

function ruleLine(rule: XyRule, within: Frame, placed: LabelPlacer): Svg {
  const { x, y, left, right, top, bottom } = within;
  const style = { stroke: THEME.limit, 'stroke-width': 1.5, 'stroke-dasharray': '7 5' };
  const text = { 'font-size': FONT.note, fill: THEME.limit };
  const captionWidth = textWidth(rule.label, FONT.note);
  if (rule.axis === 'x') {
    const at = x(rule.value);
    const fitsRight = at + 8 + captionWidth < right;
    placed.occupy(fitsRight ? at + 8 : at - 8 - captionWidth, top + 6, captionWidth);
    const caption = label(rule.label, fitsRight ? at + 8 : at - 8, top + 18, {
      ...text,
      'text-anchor': fitsRight ? 'start' : 'end',
    });
    return element('line', { x1: at, x2: at, y1: top, y2: bottom, ...style }) + caption;
  }
  const at = y(rule.value);
  placed.occupy(right - 8 - captionWidth, at - 18, captionWidth);
  return (
    element('line', { x1: left, x2: right, y1: at, y2: at, ...style }) +
    label(rule.label, right - 8, at - 7, { ...text, 'text-anchor': 'end' })
  );
}

function markPoint(mark: XyPoint, within: Frame, placed: LabelPlacer): Svg {
  const ring = element('circle', {
    cx: within.x(mark.x),
    cy: within.y(mark.y),
    r: 9,
    fill: 'none',
    stroke: THEME.marker,
    'stroke-width': 3,
  });
  return (
    ring +
    (mark.label === undefined
      ? ''
      : placed.beside(within.x(mark.x), within.y(mark.y), mark.label, {
          fill: THEME.ink,
          'font-weight': 600,
        }))
  );
}

type ColoredSeries = XySeries & { readonly color: string };

/** Names of the series, in the corner of the frame, or at the middle of a side, that hides the least. */
function legend(series: readonly ColoredSeries[], drawn: readonly Place[], within: Frame): Svg {
  const widest = Math.max(...series.map(({ name }) => textWidth(name, FONT.note)));
  const [width, height] = [widest + 44, series.length * 20 + 10];
  const heights = [within.top + 28, within.bottom - height - 28, (within.top + within.bottom - height) / 2];
  const sides = [within.right - width - 8, within.left + 8];
  const spots = heights.flatMap((top) => sides.map((left) => ({ left, top })));
  // Points are wider than their places.
  const hidden = ({ left, top }: { left: number; top: number }): number =>
    covered(drawn, { left: left - 6, top: top - 6, width: width + 12, height: height + 12 });
  const { left, top } = spots.reduce((best, spot) => (hidden(spot) < hidden(best) ? spot : best));
  const box = element('rect', {
    x: left,
    y: top,
    width,
    height,
    fill: '#ffffff',
    'fill-opacity': 0.85,
    stroke: THEME.grid,
  });
  const rows = series.map(({ name, color, dashed, draw }, i) => {
    const y = top + 15 + i * 20;
    const dash = dashed === true ? '6 4' : undefined;
    const line = element('line', {
      x1: left + 8,
      x2: left + 30,
      y1: y,
      y2: y,
      stroke: color,
      'stroke-width': 3,
      'stroke-dasharray': dash,
    });
    const key = draw === 'points' ? element('circle', { cx: left + 19, cy: y, r: 4, fill: color }) : line;
    return key + label(name, left + 38, y + 4, { 'font-size': FONT.note, fill: THEME.ink });
  });
  return box + rows.join('');
}

/** Where a series leaves ink. */
function seriesTrace({ points, draw }: XySeries, { x, y }: Frame): Place[] {
  const corners = points
    .map((point): Place => [x(point.x), y(point.y)])
    .filter((at) => at.every(Number.isFinite));
  return draw === 'points' ? corners : corners.flatMap((from, i) => line(from, corners[i + 1] ?? from));
}

function ruleTrace({ axis, value }: XyRule, { x, y, left, right, top, bottom }: Frame): Place[] {
  return axis === 'x' ? line([x(value), top], [x(value), bottom]) : line([left, y(value)], [right, y(value)]);
}
