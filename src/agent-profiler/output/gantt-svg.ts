import type { NestedStack, PlacedNode } from '../analysis/nested-stack.ts';

const COLORS: Readonly<Record<string, string>> = { LLM: '#3b6fd4', TOOL: '#2e9e6b', FUNCTION: '#e08a2e' };
const MAX_BARS = 400;

/** Longest spans of the selection, at most {@link MAX_BARS}, in order of their starts. */
export function ganttNodes(stack: NestedStack, request?: number): readonly PlacedNode[] {
  let kept: number[] = [];
  const shrink = (): void => {
    kept = kept.sort((a, b) => stack.seconds(b) - stack.seconds(a)).slice(0, MAX_BARS);
  };
  for (let i = 0; i < stack.size; i++) {
    if (request === undefined || stack.request(i) === request) kept.push(i);
    if (kept.length > 4 * MAX_BARS) shrink();
  }
  if (kept.length > MAX_BARS) shrink();
  const nodes = kept.map((i) => stack.node(i));
  return nodes.sort((a, b) => a.start_time - b.start_time || a.depth - b.depth);
}

/** One bar per span by start, the earliest on top, seconds from the first start; width and height in pixels. */
export function ganttSvg(nodes: readonly PlacedNode[], width: number, height: number, maxPitch = 26): string {
  const [left, right, top, bottom] = [20, 24, 34, 34];
  const startS = nodes.reduce((least, n) => Math.min(least, n.start_time), nodes[0]?.start_time ?? 0);
  const endS = nodes.reduce((most, n) => Math.max(most, n.end_time), startS);
  const spanS = Math.max(endS - startS, 1e-6);
  const x = (timeS: number): number => left + ((timeS - startS) / spanS) * (width - left - right);
  const pitch = Math.min(maxPitch, (height - top - bottom) / Math.max(1, nodes.length));
  const font = Math.min(16, pitch * 0.55);
  const bars = nodes.map((node, i) => {
    const from = x(node.start_time);
    const barWidth = Math.max(1, x(node.end_time) - from);
    const y = top + i * pitch;
    const name = escapeXml(`${node.operation_type}:${node.operation_name}`);
    const title = `<title>${name} ${node.duration.toFixed(3)} s, self ${node.self_time.toFixed(3)} s, request ${node.request}${node.unfinished ? ', never ended' : ''}</title>`;
    const bar = `<rect x="${from.toFixed(2)}" y="${y.toFixed(2)}" width="${barWidth.toFixed(2)}" height="${(pitch * 0.8).toFixed(2)}" rx="2" fill="${COLORS[node.operation_type]}" fill-opacity="${node.unfinished ? 0.45 : 0.9}">${title}</rect>`;
    if (font < 5) return bar;
    const textWidth = (node.operation_type.length + node.operation_name.length + 1) * font * 0.6;
    const fits = textWidth + 8 < barWidth;
    const after = from + barWidth + 4 + textWidth < width - right;
    const at = fits ? from + 4 : after ? from + barWidth + 4 : from - 4;
    const anchor = fits || after ? '' : ' text-anchor="end"';
    return `${bar}<text x="${at.toFixed(2)}"${anchor} y="${(y + pitch * 0.4 + font * 0.35).toFixed(2)}" font-size="${font.toFixed(1)}" fill="${fits ? '#ffffff' : '#1c2430'}" pointer-events="none">${name}</text>`;
  });
  const step = tickStep(spanS);
  const ticks: string[] = [];
  for (let at = 0; at <= spanS + 1e-9; at += step)
    ticks.push(
      `<line x1="${x(startS + at)}" x2="${x(startS + at)}" y1="${top - 4}" y2="${height - bottom}" stroke="#e7eaf0"/>` +
        `<text x="${x(startS + at)}" y="${height - bottom + 18}" font-size="12" text-anchor="middle" fill="#5b6472">${Number(at.toFixed(6))} s</text>`,
    );
  const keys = Object.entries(COLORS).map(
    ([type, color], i) =>
      `<rect x="${left + i * 110}" y="8" width="12" height="12" rx="2" fill="${color}"/><text x="${left + 18 + i * 110}" y="19" font-size="12" fill="#1c2430">${type}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>${ticks.join('')}${bars.join('')}${keys.join('')}</svg>`;
}

function tickStep(spanS: number): number {
  const raw = spanS / 8;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? 10 * power;
}

export function escapeXml(text: string): string {
  // Control characters are not allowed in XML at all.
  return text
    .replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/[^\t\n\u0020-\ud7ff\ue000-\uffff\u{10000}-\u{10ffff}]/gu, '\ufffd');
}
