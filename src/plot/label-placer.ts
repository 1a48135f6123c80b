import type { Frame } from './axes.ts';
import { label, type Svg } from './svg.ts';
import { FONT, textWidth } from './theme.ts';

/** A place on the drawing, in pixels. */
export type Place = readonly [number, number];

interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const TRACE_STEP = 5;
const LINE_HEIGHT = 16;
/** From the point to the caption beside it. */
const GAP = 13;
/** Captions are tried so far above and below the height of their point. */
const STEPS = [0, -16, 16, -32, 32, -48, 48, -72, 72];

/** A straight line as places a few pixels apart. */
export function line(from: Place, to: Place): Place[] {
  const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / TRACE_STEP));
  return Array.from({ length: steps + 1 }, (_, i): Place => {
    const share = i / steps;
    return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
  });
}

/** How many of the places a box would hide. */
export function covered(places: readonly Place[], { left, top, width, height }: Box): number {
  return places.filter(([x, y]) => x > left && x < left + width && y > top && y < top + height).length;
}

/** Puts captions beside points: never over another caption, and over as little of what is drawn as can be. */
export class LabelPlacer {
  readonly #taken: Box[] = [];
  readonly #frame: Frame;
  readonly #drawn: readonly Place[];

  constructor(within: Frame, drawn: readonly Place[]) {
    this.#frame = within;
    this.#drawn = drawn;
  }

  occupy(left: number, top: number, width: number): void {
    this.#taken.push({ left, top, width, height: LINE_HEIGHT });
  }

  beside(x: number, y: number, text: string, style: Readonly<Record<string, string | number>>): Svg {
    const width = textWidth(text, FONT.note);
    const boxes = STEPS.flatMap((step) =>
      [x + GAP, x - GAP - width].map(
        (left): Box => ({ left, top: y - LINE_HEIGHT / 2 + step, width, height: LINE_HEIGHT }),
      ),
    );
    const free = boxes.filter((box) => this.#fits(box));
    // The nearest of those that hide least.
    const least = Math.min(...free.map((box) => covered(this.#drawn, box)));
    const { left, top } = free.find((box) => covered(this.#drawn, box) === least) ?? boxes[0]!;
    this.occupy(left, top, width);
    // The width is a guess: text on the left ends where it should, whatever its width.
    const flush = left < x ? { 'text-anchor': 'end' } : {};
    const at = left < x ? left + width : left;
    const halo = { stroke: '#ffffff', 'stroke-width': 3, 'stroke-opacity': 0.8, 'paint-order': 'stroke' };
    return label(text, at, top + LINE_HEIGHT / 2 + 4, {
      'font-size': FONT.note,
      ...flush,
      ...halo,
      ...style,
    });
  }

  #fits({ left, top, width, height }: Box): boolean {
    const { left: min, right: max, top: high, bottom: low } = this.#frame;
    if (left < min || left + width > max || top < high || top + height > low) return false;
    return !this.#taken.some(
      (box) =>
        left < box.left + box.width &&
        left + width > box.left &&
        top < box.top + box.height &&
        top + height > box.top,
    );
  }
}
