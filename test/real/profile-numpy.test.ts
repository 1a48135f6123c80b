import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { profileSla } from '../support/profile-sla.ts';
import { realPart } from '../support/real-part.ts';

const READ = `
import json, sys, numpy
with numpy.load(sys.argv[1], allow_pickle=False) as data:
    print(json.dumps([[key, data[key].dtype.str, list(data[key].shape), data[key].tolist()] for key in data.files]))
`;

function load(path: string): [string, string, number[], number[]][] {
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', READ, path], { encoding: 'utf8' }));
}

describe.skipIf(realPart('python3-numpy').skip)('numpy', () => {
  test('reads both curves of a profile: keys, types, shapes and values', async () => {
    const { outputDir } = await profileSla({ maxContextLength: 4000 });
    const twin = (role: string) => JSON.parse(readFileSync(join(outputDir, `${role}_raw_data.json`), 'utf8'));
    const prefill = load(join(outputDir, 'selected_prefill_interpolation', 'raw_data.npz'));
    expect(prefill.map(([key, dtype]) => [key, dtype])).toEqual([
      ['prefill_isl', '<i8'],
      ['prefill_ttft', '<f8'],
      ['prefill_thpt_per_gpu', '<f8'],
    ]);
    const decode = load(join(outputDir, 'selected_decode_interpolation', 'raw_data.npz'));
    expect(decode.map(([key, dtype]) => [key, dtype])).toEqual([
      ['x_kv_usage', '<f8'],
      ['y_context_length', '<f8'],
      ['z_itl', '<f8'],
      ['z_thpt_per_gpu', '<f8'],
      ['max_kv_tokens', '<i8'],
    ]);
    for (const [role, arrays] of [
      ['prefill', prefill],
      ['decode', decode],
    ] as const) {
      const json = twin(role);
      expect(Object.keys(json)).toEqual(arrays.map(([key]) => key));
      const length = json[arrays[0]![0]].length;
      for (const [key, , shape, values] of arrays) {
        const scalar = key === 'max_kv_tokens';
        expect(shape).toEqual([scalar ? 1 : length]);
        expect(values).toEqual(scalar ? [json[key]] : json[key]);
      }
    }
  });
});
