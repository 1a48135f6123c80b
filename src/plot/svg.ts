/** A piece of finished SVG text. */
export type Svg = string;

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** One element; undefined attributes are left out, numbers rounded to a hundredth of a pixel. */
export function element(name: string, attributes: Attributes, ...children: readonly Svg[]): Svg {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) => ` ${key}="${typeof value === 'number' ? round(value) : escapeText(value as string)}"`,
    );
  return children.length === 0
    ? `<${name}${written.join('')}/>`
    : `<${name}${written.join('')}>${children.join('')}</${name}>`;
}

export function label(text: string, x: number, y: number, attributes: Attributes = {}): Svg {
  return element('text', { x, y, ...attributes }, escapeText(text));
}

/** A whole drawing on white, in pixels. */
export function drawing(width: number, height: number, ...children: readonly Svg[]): Svg {
  const background = element('rect', { width, height, fill: '#ffffff' });
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      'font-family': 'Inter, sans-serif',
    },
    background,
    ...children,
  );
}

/** The `d` of a path through the points; empty for none. */
export function pathThrough(points: readonly (readonly [number, number])[], close = false): string {
  if (points.length === 0) return '';
  return `M${points.map(([x, y]) => `${round(x)},${round(y)}`).join('L')}${close ? 'Z' : ''}`;
}

export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}
