import { format } from 'd3-format';
import { type ScaleLinear, type ScaleLogarithmic, scaleLinear, scaleLog } from 'd3-scale';
import { element, label, type Svg } from './svg.ts';
import { FONT, THEME } from './theme.ts';

export interface AxisSpec {
  readonly label: string;
  /** Data range; widened to round numbers unless `exact`. */
  readonly domain: readonly [number, number];
  readonly log?: boolean;
  readonly exact?: boolean;
}

export interface Frame {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly svg: Svg;
}

const MARGIN = { left: 84, right: 28, top: 52, bottom: 62 } as const;

type Scale = ScaleLinear<number, number> | ScaleLogarithmic<number, number>;

/** A titled frame with ticks, grid and axis labels; the scales place whatever is drawn into it. */
export function frame(title: string, xAxis: AxisSpec, yAxis: AxisSpec, width: number, height: number): Frame {
  const box = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
  const x = scale(xAxis, [box.left, box.right]);
  const y = scale(yAxis, [box.bottom, box.top]);
  const parts: Svg[] = [
    label(title, box.left, 32, { 'font-size': FONT.title, 'font-weight': 600, fill: THEME.ink }),
  ];
  for (const tick of ticks(x, xAxis, 8)) {
    const at = x(tick.value);
    parts.push(element('line', { x1: at, x2: at, y1: box.top, y2: box.bottom, stroke: THEME.grid }));
    parts.push(
      label(tick.text, at, box.bottom + 20, {
        'font-size': FONT.tick,
        fill: THEME.muted,
        'text-anchor': 'middle',
      }),
    );
  }
  for (const tick of ticks(y, yAxis, 7)) {
    const at = y(tick.value);
    parts.push(element('line', { x1: box.left, x2: box.right, y1: at, y2: at, stroke: THEME.grid }));
    parts.push(
      label(tick.text, box.left - 10, at + 4, {
        'font-size': FONT.tick,
        fill: THEME.muted,
        'text-anchor': 'end',
      }),
    );
  }
  const { left, top } = box;
  parts.push(
    element('rect', {
      x: left,
      y: top,
      width: box.right - left,
      height: box.bottom - top,
      fill: 'none',
      stroke: THEME.frame,
    }),
  );
  parts.push(axisLabel(xAxis.label, (left + box.right) / 2, height - 16));
  const middle = (top + box.bottom) / 2;
  parts.push(axisLabel(yAxis.label, 22, middle, `rotate(-90 22 ${middle})`));
  return { x, y, ...box, svg: parts.join('') };
}

/** Tick text with SI-like grouping: 12,000 but 0.25 and 1e-7. */
export function tickText(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return format('.3~s')(value);
  return size >= 1000 ? format(',.12~r')(value) : format('.4~g')(value);
}

function scale(axis: AxisSpec, range: readonly [number, number]): Scale {
  const [low, high] = spread(axis.domain, axis.log === true);
  const made: Scale = axis.log === true ? scaleLog() : scaleLinear();
  made.domain([low, high]).range(range);
  return axis.exact === true ? made : made.nice();
}

/** A range that is never empty, and positive where logarithms are taken. */
function spread([low, high]: readonly [number, number], log: boolean): readonly [number, number] {
  const floor = log ? Math.max(low, Number.MIN_VALUE) : low;
  if (high > floor) return [floor, high];
  if (log) return [floor / 2, floor * 2];
  return floor === 0 ? [0, 1] : [floor - Math.abs(floor) / 2, floor + Math.abs(floor) / 2];
}

function ticks(on: Scale, axis: AxisSpec, count: number): { value: number; text: string }[] {
  const values = on.ticks(count);
  const shown =
    axis.log === true && values.length > count + 4
      ? values.filter((value) => /^[125]/.test(value.toExponential()))
      : values;
  return shown.map((value) => ({ value, text: tickText(value) }));
}

function axisLabel(text: string, x: number, y: number, transform?: string): Svg {
  return label(text, x, y, { 'font-size': FONT.label, fill: THEME.ink, 'text-anchor': 'middle', transform });
}
