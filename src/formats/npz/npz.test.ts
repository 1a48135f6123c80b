import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import golden from '../../../test/golden/sla/npz_format.json' with { type: 'json' };
import { realPart } from '../../../test/support/real-part.ts';
import { decodeNpy, encodeNpy, type NpyData, toNumbers } from './npy.ts';
import { decodeNpz, encodeNpz, floats, integers } from './npz.ts';

const numpyFile = Buffer.from(golden.npz_base64, 'base64');

describe('npz', () => {
  test('reads what numpy wrote', () => {
    const arrays = decodeNpz(numpyFile, 'golden.npz');
    const values = Object.entries(arrays).map(([name, array]) => [name, toNumbers(array)]);
    expect(Object.fromEntries(values)).toEqual(golden.arrays);
    expect(arrays.prefill_isl?.data).toBeInstanceOf(BigInt64Array);
  });

  test('writes members that equal numpy’s byte for byte', () => {
    const { prefill_isl, prefill_ttft, prefill_thpt_per_gpu } = golden.arrays;
    const file = encodeNpz({
      prefill_isl: integers(prefill_isl),
      prefill_ttft: floats(prefill_ttft),
      prefill_thpt_per_gpu: floats(prefill_thpt_per_gpu),
    });
    for (const { name } of golden.entries) expect(memberBytes(file, name)).toBe(memberBytes(numpyFile, name));
    expect(encodeNpz(decodeNpz(file, 'again'))).toEqual(file);
  });

  test.each(golden.npy_headers)(
    'writes numpy’s header for $case',
    ({ dtype, shape, header_text, bytes_before_text_hex, header_len_total }) => {
      const count = shape.reduce((product, length) => product * length, 1);
      const file = encodeNpy({ shape, data: zeros(dtype, count) });
      const textAt = bytes_before_text_hex.length / 2;
      expect(Buffer.from(file.subarray(0, textAt)).toString('hex')).toBe(bytes_before_text_hex);
      expect(Buffer.from(file.subarray(textAt, header_len_total)).toString('latin1')).toBe(header_text);
    },
  );

  test('turns Fortran order into C order', () => {
    const cOrder = encodeNpy({ shape: [2, 3], data: Float64Array.of(1, 4, 2, 5, 3, 6) });
    const text = Buffer.from(cOrder)
      .toString('latin1')
      .replace("'fortran_order': False", "'fortran_order': True ");
    const array = decodeNpy(Buffer.from(text, 'latin1'), 'x');
    expect(toNumbers(array)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('round-trips any shape and text', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true })),
        fc.array(fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))),
        (numbers, texts) => {
          const arrays = { numbers: floats(numbers), texts: { shape: [texts.length], data: texts } };
          const read = decodeNpz(encodeNpz(arrays), 'x');
          expect(toNumbers(read.numbers!)).toEqual(numbers);
          expect(read.texts?.data).toEqual(texts);
        },
      ),
    );
  });

  test.each([
    ['an empty file', new Uint8Array(0), 'not a zip archive'],
    ['a cut file', numpyFile.subarray(0, 300), 'not a zip archive'],
  ])('refuses %s with the name of the file', (_, bytes, reason) => {
    expect(() => decodeNpz(bytes, 'broken.npz')).toThrow(`broken.npz: ${reason}`);
  });

  test('refuses pickled objects', () => {
    const text = Buffer.from(encodeNpy(floats([1])))
      .toString('latin1')
      .replace('<f8', '|O ');
    expect(() => decodeNpy(Buffer.from(text, 'latin1'), 'x.npy')).toThrow(
      'element type |O  is not supported',
    );
  });

  test.skipIf(realPart('python3-numpy').skip)(
    'is read by numpy with the same names, types, shapes and values',
    () => {
      const path = join(mkdtempSync(join(tmpdir(), 'kvasir-npz-')), 'x.npz');
      writeFileSync(
        path,
        encodeNpz({
          a: integers([1, 2]),
          b: floats([0.5]),
          c: { shape: [], data: Float64Array.of(7) },
          d: { shape: [1], data: ['H200'] },
        }),
      );
      const script = `import numpy as n; f=n.load(${JSON.stringify(path)}); print([(k, f[k].dtype.str, f[k].shape, f[k].tolist()) for k in f.files])`;
      const printed = execFileSync('/usr/bin/python3', ['-c', script], { encoding: 'utf8' }).trim();
      expect(printed).toBe(
        "[('a', '<i8', (2,), [1, 2]), ('b', '<f8', (1,), [0.5]), ('c', '<f8', (), 7.0), ('d', '<U4', (1,), ['H200'])]",
      );
    },
  );
});

function zeros(dtype: string, count: number): NpyData {
  if (dtype === '<i8') return new BigInt64Array(count);
  if (dtype === '<f8') return new Float64Array(count);
  return Array.from({ length: count }, () => 'x'.repeat(Number(dtype.slice(2))));
}

/** The header and data of a member, found behind its name. */
function memberBytes(file: Uint8Array, name: string): string {
  const bytes = Buffer.from(file);
  const start = bytes.indexOf(Buffer.from('\x93NUMPY', 'latin1'), bytes.indexOf(name));
  return bytes.subarray(start, start + 152).toString('hex');
}
