import { type AxisSpec, type Frame, frame } from './axes.ts';
import { drawing, element, label, pathThrough, type Svg } from './svg.ts';
import { FONT, seriesColor, THEME, textWidth } from './theme.ts';

const RULE_TRACE = 100;

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
  const placed = new LabelPlacer(within);
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
        .map((point) => placed.beside(point, series.color)),
    ),
    colored.length > 1 ? legend(colored, chart.rules ?? [], within) : '',
  );
}

function domainOf(chart: XyChart, axis: 'x' | 'y'): readonly [number, number] {
  const rules = (chart.rules ?? []).filter((rule) => rule.axis === axis).map((rule) => rule.value);
  const log = chart[axis].log === true;
  const values = [
    ...chart.series.flatMap((series) => series.points.map((point) => point[axis])),
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
  return ring + (mark.label === undefined ? '' : placed.beside(mark, THEME.ink, 600));
}

type ColoredSeries = XySeries & { readonly color: string };

/** Names of the series, in the corner of the frame that hides the least data. */
/** A rule as points a few pixels apart. */
function ruleTrace({ axis, value }: XyRule, { x, y, left, right, top, bottom }: Frame): [number, number][] {
  return Array.from({ length: RULE_TRACE }, (_, i) => {
    const share = i / (RULE_TRACE - 1);
    return axis === 'x'
      ? [x(value), top + share * (bottom - top)]
      : [left + share * (right - left), y(value)];
  });
}

function legend(series: readonly ColoredSeries[], rules: readonly XyRule[], within: Frame): Svg {
  const widest = Math.max(...series.map(({ name }) => textWidth(name, FONT.note)));
  const [width, height] = [widest + 44, series.length * 20 + 10];
  const spots = [
    { left: within.right - width - 8, top: within.top + 28 },
    { left: within.left + 8, top: within.top + 28 },
    { left: within.right - width - 8, top: within.bottom - height - 28 },
    { left: within.left + 8, top: within.bottom - height - 28 },
  ];
  const traces = [
    ...series.flatMap((one) => trace(one, within)),
    ...rules.flatMap((rule) => ruleTrace(rule, within)),
  ];
  const hidden = ({ left, top }: { left: number; top: number }): number =>
    traces.filter(([x, y]) => x > left && x < left + width && y > top && y < top + height).length;
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
  const rows = series.map(({ name, color, dashed }, i) => {
    const y = top + 15 + i * 20;
    const dash = dashed === true ? '6 4' : undefined;
    const key = element('line', {
      x1: left + 8,
      x2: left + 30,
      y1: y,
      y2: y,
      stroke: color,
      'stroke-width': 3,
      'stroke-dasharray': dash,
    });
    return key + label(name, left + 38, y + 4, { 'font-size': FONT.note, fill: THEME.ink });
  });
  return box + rows.join('');
}

/** Points along what a series draws, close enough together to tell what a box would cover. */
function trace({ points, draw }: XySeries, { x, y }: Frame): (readonly [number, number])[] {
  const corners = points
    .map((point) => [x(point.x), y(point.y)] as const)
    .filter((at) => at.every(Number.isFinite));
  if (draw === 'points') return corners;
  return corners.flatMap((from, i) => {
    const to = corners[i + 1] ?? from;
    return [0, 0.25, 0.5, 0.75].map(
      (share) => [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share] as const,
    );
  });
}

const LINE_HEIGHT = 16;

/** Puts captions beside points without letting them cover one another. */
class LabelPlacer {
  readonly #taken: { left: number; right: number; top: number; bottom: number }[] = [];
  readonly #frame: Frame;

  constructor(within: Frame) {
    this.#frame = within;
  }

  occupy(left: number, top: number, width: number): void {
    this.#taken.push({ left, right: left + width, top, bottom: top + LINE_HEIGHT });
  }

  beside(point: XyPoint, color: string, weight = 400): Svg {
    const text = point.label ?? '';
    const width = textWidth(text, FONT.note);
    const x = this.#frame.x(point.x);
    const y = this.#frame.y(point.y);
    const offsets = [0, -16, 16, -32, 32, -48, 48].flatMap((dy) => [
      { left: x + 13, dy },
      { left: x - 13 - width, dy },
    ]);
    const fits = ({ left, dy }: { left: number; dy: number }): boolean => {
      const top = y - LINE_HEIGHT / 2 + dy;
      const { left: min, right: max, top: high, bottom: low } = this.#frame;
      if (left < min || left + width > max || top < high || top + LINE_HEIGHT > low) return false;
      return !this.#taken.some(
        (box) =>
          left < box.right && left + width > box.left && top < box.bottom && top + LINE_HEIGHT > box.top,
      );
    };
    const { left, dy } = offsets.find(fits) ?? offsets[0]!;
    this.occupy(left, y - LINE_HEIGHT / 2 + dy, width);
    return label(text, left, y + 4 + dy, { 'font-size': FONT.note, fill: color, 'font-weight': weight });
  }
}
