import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { readTraceFile } from './trace-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvasir-trace-'));
afterAll(() => rmSync(folder, { recursive: true }));

const lines = Array.from({ length: 5000 }, (_, i) =>
  JSON.stringify({ timestamp: i * 200, input_length: 600, output_length: 5, hash_ids: [0, i + 1] }),
).join('\n');
const file = (name: string, content: string | Buffer): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

describe('readTraceFile', () => {
  test('reads plain and gzipped files alike, whatever their names', async () => {
    const plain = await readTraceFile(file('plain.jsonl', lines));
    expect(plain.rows).toHaveLength(5000);
    expect(plain.rows.at(-1)).toMatchObject({ line: 5000, timestampMs: 999_800, hashIds: [0, 5000] });
    expect(await readTraceFile(file('zipped.jsonl.gz', gzipSync(lines)))).toEqual(plain);
    expect(await readTraceFile(file('misnamed.jsonl', gzipSync(lines)))).toEqual(plain);
  });

  test('names the file, the line and the cause of what it cannot read', async () => {
    await expect(readTraceFile(join(folder, 'absent.jsonl'))).rejects.toThrow(
      /cannot read .*absent.jsonl: ENOENT/,
    );
    await expect(readTraceFile(file('bad.jsonl', `${lines}\n{oops`))).rejects.toThrow(
      /bad.jsonl, line 5001: is not JSON/,
    );
    await expect(readTraceFile(file('cut.gz', gzipSync(lines).subarray(0, 4000)))).rejects.toThrow(
      /cannot read .*cut.gz/,
    );
    await expect(readTraceFile(file('empty.jsonl', ''))).rejects.toThrow(/ends without a request/);
  });
});
