import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { cloughTocher, vertexGradients } from './clough-tocher.ts';
import { cubicSpline } from './cubic-spline.ts';
import { evaluatePolynomial, polynomialFit } from './polynomial-fit.ts';
import { triangulate } from './triangulation.ts';

const golden = (name: string): { path: string | undefined; read: () => never } => {
  const path = sharedFile(`spec/sla-golden/${name}`);
  return { path, read: () => JSON.parse(readFileSync(path!, 'utf8')) as never };
};
interface Column {
  readonly data: number[];
}
const measured = golden('h200_llama31_8b_tp1.raw.json');
const prefillGolden = golden('prefill_interp.json');
const gridGolden = golden('decode_interp.grid.json');

describe('cubicSpline', () => {
  test('reproduces any cubic exactly and is constant beyond its ends', () => {
    const finite = fc.double({ min: -10, max: 10, noNaN: true });
    fc.assert(
      fc.property(finite, finite, finite, finite, (a, b, c, d) => {
        const cubic = (x: number): number => ((a * x + b) * x + c) * x + d;
        const x = [-2, -1, 0.5, 2, 3];
        const spline = cubicSpline(x, x.map(cubic));
        for (const at of [-2, -1.7, 0, 1.3, 2.9, 3]) expect(spline(at)).toBeCloseTo(cubic(at), 8);
        expect(spline(99)).toBe(spline(3));
      }),
    );
  });

  test.skipIf(measured.path === undefined)('equals scipy on measured prefill points', () => {
    const { prefill } = measured.read() as { prefill: Record<string, Column> };
    const isl = prefill.prefill_isl!.data;
    const ttft = cubicSpline(isl, prefill.prefill_ttft!.data);
    const throughput = cubicSpline(isl, prefill.prefill_thpt_per_gpu!.data);
    const { cases, quadratic_fit_ttft: fit } = prefillGolden.read() as {
      cases: { isl: number; ttft_ms: number; thpt_per_gpu: number }[];
      quadratic_fit_ttft: { a: number; b: number; c: number };
    };
    for (const expected of cases) {
      expect(relativeError(ttft(expected.isl), expected.ttft_ms)).toBeLessThan(1e-9);
      expect(relativeError(throughput(expected.isl), expected.thpt_per_gpu)).toBeLessThan(1e-9);
    }
    const fitted = polynomialFit(isl, prefill.prefill_ttft!.data, 2);
    for (const [i, name] of (['a', 'b', 'c'] as const).entries())
      expect(relativeError(fitted[i]!, fit[name])).toBeLessThan(1e-8);
  });
});

describe('cloughTocher', () => {
  test('reproduces planes to the tolerance of its gradients, is undefined outside, and passes through its points', () => {
    const x = [0, 1, 0, 1, 0.4, 0.7];
    const y = [0, 0, 1, 1, 0.6, 0.2];
    const plane = x.map((value, i) => 3 * value - 2 * y[i]! + 1);
    const surface = cloughTocher(triangulate(x, y), plane);
    expect(surface(0.3, 0.3)).toBeCloseTo(1.3, 6);
    expect(surface(1.1, 0.5)).toBeUndefined();
    for (const [i, value] of plane.entries()) expect(surface(x[i]!, y[i]!)).toBeCloseTo(value, 10);
  });

  test.skipIf(gridGolden.path === undefined)('equals scipy on every cell of the measured decode grid', () => {
    const { decode } = measured.read() as { decode: Record<string, Column> };
    const grid = gridGolden.read() as {
      simplices: number[][];
      outside_hull: string[];
      itl_ms: number[];
      thpt_per_gpu: number[];
      grad_itl: number[][];
    };
    const [x, y] = [decode.x_kv_usage!.data, decode.y_context_length!.data];
    const mesh = triangulate(x, y);
    const corners = (list: readonly (readonly number[])[]): string[] =>
      list.map((triangle) => triangle.toSorted((a, b) => a - b).join()).sort();
    expect(corners(mesh.triangles)).toEqual(corners(grid.simplices));
    for (const [i, gradient] of vertexGradients(mesh, decode.z_itl!.data).entries()) {
      expect(relativeError(gradient[0], grid.grad_itl[i]![0]!)).toBeLessThan(1e-6);
    }
    const top = Math.max(...y);
    for (const [column, values] of [
      ['z_itl', grid.itl_ms],
      ['z_thpt_per_gpu', grid.thpt_per_gpu],
    ] as const) {
      const surface = cloughTocher(mesh, decode[column]!.data);
      let inside = 0;
      for (let iy = 0; iy < 100; iy++) {
        for (let ix = 0; ix < 100; ix++) {
          if (grid.outside_hull[iy]![ix] === '1') continue;
          const value = surface(ix / 99, (iy * top) / 99);
          expect(relativeError(value!, values[iy * 100 + ix]!)).toBeLessThan(1e-9);
          inside++;
        }
      }
      expect(inside).toBe(10_000 - 1351);
    }
  });
});

test('polynomialFit finds the coefficients of an exact polynomial', () => {
  const x = [0, 1000, 2000, 5000, 9000];
  const fitted = polynomialFit(
    x,
    x.map((value) => 4e-7 * value * value + 0.015 * value + 16),
    2,
  );
  for (const [i, expected] of [4e-7, 0.015, 16].entries())
    expect(relativeError(fitted[i]!, expected)).toBeLessThan(1e-9);
  expect(evaluatePolynomial([2, 0, 1], 3)).toBe(19);
});

function relativeError(value: number, expected: number): number {
  return Math.abs(value - expected) / Math.max(1e-12, Math.abs(expected));
}
