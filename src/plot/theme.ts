/** Colours of the charts; series take theirs in order. */
export const THEME = {
  ink: '#1f2430',
  muted: '#667085',
  grid: '#e7eaf0',
  frame: '#c3c9d5',
  limit: '#d92d20',
  good: '#e7f6ec',
  marker: '#f79009',
  series: ['#2563eb', '#d97706', '#059669', '#7c3aed', '#db2777', '#0891b2', '#65a30d', '#b91c1c'],
} as const;

export const FONT = { title: 19, label: 14, tick: 12, note: 12 } as const;

export function seriesColor(index: number): string {
  return THEME.series[index % THEME.series.length]!;
}

/** Rough width of Inter text in pixels: enough to keep labels apart. */
export function textWidth(text: string, size: number): number {
  return text.length * size * 0.56;
}

/** viridis at eleven points (Smith and van der Walt), interpolated linearly. */
const VIRIDIS = [
  '#440154',
  '#482475',
  '#414487',
  '#355f8d',
  '#2a788e',
  '#21918c',
  '#22a884',
  '#44bf70',
  '#7ad151',
  '#bddf26',
  '#fde725',
];
/** Cool to warm (Moreland's diverging map) at five points. */
const COOL_WARM = ['#3b4cc0', '#8db0fe', '#dddddd', '#f49a7b', '#b40426'];

export const COLOR_MAPS = { viridis: VIRIDIS, coolWarm: COOL_WARM } as const;
export type ColorMap = keyof typeof COLOR_MAPS;

/** The colour at `share` (0 to 1, clamped) of a map. */
export function colorAt(map: ColorMap, share: number): string {
  const stops = COLOR_MAPS[map];
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  const channel = (hex: string, i: number): number => Number.parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => {
    const from = channel(stops[low]!, i);
    return Math.round(from + (channel(stops[low + 1]!, i) - from) * (at - low));
  });
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}
