import { initWasm, Resvg } from '@resvg/resvg-wasm';
import { fail, toError } from '../base/errors.ts';
import type { Svg } from './svg.ts';

/** Rasterises SVG with resvg; one process needs one. */
export class PngRenderer {
  readonly #fonts: readonly Uint8Array[];

  private constructor(fonts: readonly Uint8Array[]) {
    this.#fonts = fonts;
  }

  /** `wasm` is resvg's module; `fonts` are TrueType files (resvg ignores woff and drops text it has no font for). */
  static async create(wasm: Uint8Array, fonts: readonly Uint8Array[]): Promise<PngRenderer> {
    if (fonts.length === 0) throw fail('KV_INTERNAL', { reason: 'rasterising needs a TrueType font' });
    try {
      await initWasm(wasm as Uint8Array<ArrayBuffer>);
    } catch (thrown) {
      // resvg keeps one module per process and says so when asked again.
      if (!/already initialized/i.test(toError(thrown).message)) throw thrown;
    }
    return new PngRenderer(fonts);
  }

  /** PNG bytes at `scale` pixels per SVG unit. */
  render(svg: Svg, scale = 1): Uint8Array {
    const font = {
      fontBuffers: this.#fonts as Uint8Array[],
      defaultFontFamily: 'Inter',
      sansSerifFamily: 'Inter',
      loadSystemFonts: false,
    };
    const resvg = new Resvg(svg, { font, fitTo: { mode: 'zoom', value: scale } });
    try {
      return resvg.render().asPng();
    } finally {
      resvg.free();
    }
  }
}
