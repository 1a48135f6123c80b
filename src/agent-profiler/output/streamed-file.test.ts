import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StreamedFile } from './streamed-file.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'streamed-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

test('a file appears whole, with all its pieces in order, whatever their sizes and scripts', () => {
  const path = join(dir, 'new/folder/file.txt');
  const file = new StreamedFile(path);
  const pieces = ['é', 'x'.repeat(2 ** 21), '𝄞'.repeat(1000), new Uint8Array([0, 255]), 'end'];
  for (const piece of pieces) file.write(piece);
  expect(existsSync(path)).toBe(false);
  file.finish();
  const expected = Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
  // toEqual takes half a minute for two megabytes.
  expect(readFileSync(path).equals(expected)).toBe(true);
  expect(readdirSync(join(dir, 'new/folder'))).toEqual(['file.txt']);
});

test('an abandoned file leaves nothing, and one that cannot be written says so', () => {
  const file = new StreamedFile(join(dir, 'file.txt'));
  file.write('half');
  file.abandon();
  expect(readdirSync(dir)).toEqual([]);
  writeFileSync(join(dir, 'plain'), '');
  expect(() => new StreamedFile(join(dir, 'plain/file.txt'))).toThrow(/^cannot write .*plain: /);
});
