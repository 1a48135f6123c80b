import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SILENT_LOG } from '../base/log.ts';
import { RotatingLines } from './rotating-lines.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lines-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('lines come in order, behind those of an earlier run', async () => {
  const path = join(folder, 'deep', 'log.jsonl');
  for (const run of ['a', 'b']) {
    const lines = new RotatingLines({ path, maxBytes: 1000, log: SILENT_LOG });
    for (let i = 0; i < 3; i++) lines.write(`${run}${i}`);
    await lines.stop();
  }
  expect(await readFile(path, 'utf8')).toBe('a0\na1\na2\nb0\nb1\nb2\n');
});

test('two files of bounded size hold the latest, however much is written', async () => {
  const path = join(folder, 'log.jsonl');
  const lines = new RotatingLines({ path, maxBytes: 100, log: SILENT_LOG });
  for (let i = 0; i < 50; i++) {
    lines.write(`line ${String(i).padStart(4, '0')}`);
    await lines.stop();
  }
  for (const each of [path, `${path}.1`]) expect((await stat(each)).size).toBeLessThanOrEqual(100);
  const kept = (await readFile(`${path}.1`, 'utf8')) + (await readFile(path, 'utf8'));
  const numbers = kept
    .trim()
    .split('\n')
    .map((line) => Number(line.slice(5)));
  expect(numbers.at(-1)).toBe(49);
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => 50 - numbers.length + i));
});

test('a disk that refuses costs lines, not the program', async () => {
  const path = join(folder, 'file', 'log.jsonl');
  await writeFile(join(folder, 'file'), '');
  const lines = new RotatingLines({ path, maxBytes: 100, log: SILENT_LOG });
  lines.write('lost');
  await lines.stop();
  expect(lines.dropped).toBe(1);
});
