import { scaleLinear } from 'd3-scale';
import { tickText } from './axes.ts';
import { drawing, element, label, type Svg } from './svg.ts';
import { FONT, seriesColor, THEME, textWidth } from './theme.ts';

export interface GanttSpan {
  readonly row: string;
  readonly start: number;
  readonly end: number;
  /** Spans of one kind share a colour and a line in the legend. */
  readonly kind: string;
  readonly label?: string;
}

export interface Gantt {
  readonly title: string;
  readonly xLabel: string;
  readonly spans: readonly GanttSpan[];
  readonly width?: number;
}

const ROW_HEIGHT = 26;
const TOP = 86;

/** Spans over time, a row each in order of first appearance. */
export function ganttChart(chart: Gantt): Svg {
  const { width = 1100 } = chart;
  const rows = [...new Set(chart.spans.map((span) => span.row))];
  const kinds = [...new Set(chart.spans.map((span) => span.kind))];
  const left = 24 + Math.min(320, Math.max(60, ...rows.map((row) => textWidth(row, FONT.tick))));
  const height = TOP + rows.length * ROW_HEIGHT + 60;
  const bottom = height - 60;
  const low = chart.spans.reduce((least, span) => Math.min(least, span.start), Number.POSITIVE_INFINITY);
  const high = chart.spans.reduce((most, span) => Math.max(most, span.end), Number.NEGATIVE_INFINITY);
  const x = scaleLinear()
    .domain(low < high ? [low, high] : [0, 1])
    .range([left, width - 30]);
  const grid = x.ticks(9).map((value) => {
    const line = element('line', { x1: x(value), x2: x(value), y1: TOP - 6, y2: bottom, stroke: THEME.grid });
    return (
      line +
      label(tickText(value), x(value), bottom + 20, {
        'font-size': FONT.tick,
        fill: THEME.muted,
        'text-anchor': 'middle',
      })
    );
  });
  const names = rows.map((row, i) =>
    label(row, left - 10, TOP + i * ROW_HEIGHT + 17, {
      'font-size': FONT.tick,
      fill: THEME.ink,
      'text-anchor': 'end',
    }),
  );
  const bars = chart.spans.map((span) => bar(span, rows.indexOf(span.row), kinds.indexOf(span.kind), x));
  let keyAt = left;
  const keys = kinds.map((kind, i) => {
    const key = element('rect', { x: keyAt, y: 50, width: 14, height: 14, rx: 2, fill: seriesColor(i) });
    const text = label(kind, keyAt + 20, 62, { 'font-size': FONT.note, fill: THEME.ink });
    keyAt += 44 + textWidth(kind, FONT.note);
    return key + text;
  });
  return drawing(
    width,
    height,
    label(chart.title, 24, 32, { 'font-size': FONT.title, 'font-weight': 600, fill: THEME.ink }),
    ...keys,
    ...grid,
    ...names,
    ...bars,
    label(chart.xLabel, (left + width - 30) / 2, height - 14, {
      'font-size': FONT.label,
      fill: THEME.ink,
      'text-anchor': 'middle',
    }),
  );
}

function bar(span: GanttSpan, row: number, kind: number, x: (value: number) => number): Svg {
  const from = x(span.start);
  // A span too short to see is still there.
  const width = Math.max(1.5, x(span.end) - from);
  const y = TOP + row * ROW_HEIGHT + 4;
  const rect = element('rect', {
    x: from,
    y,
    width,
    height: ROW_HEIGHT - 8,
    rx: 3,
    fill: seriesColor(kind),
    'fill-opacity': 0.85,
  });
  const fits = span.label !== undefined && textWidth(span.label, FONT.note) + 8 < width;
  return fits
    ? rect + label(span.label, from + 5, y + 13, { 'font-size': FONT.note, fill: '#ffffff' })
    : rect;
}
