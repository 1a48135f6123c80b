import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PngRenderer } from '../plot/png.ts';

/** Loads resvg's module and the shipped fonts from disk. */
export async function loadPngRenderer(): Promise<PngRenderer> {
  const wasm = createRequire(import.meta.url).resolve('@resvg/resvg-wasm/index_bg.wasm');
  const fonts = ['Inter-Regular.ttf', 'Inter-SemiBold.ttf'].map(
    (name) => new URL(`../../assets/fonts/${name}`, import.meta.url),
  );
  const [module, ...loaded] = await Promise.all([readFile(wasm), ...fonts.map((font) => readFile(font))]);
  return PngRenderer.create(module!, loaded);
}
