import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeFolder } from './folder.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kvasir-folder-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a folder is made with those above it, and may be there already', () => {
  makeFolder(join(dir, 'a/b/c'));
  makeFolder(join(dir, 'a/b/c'));
  expect(statSync(join(dir, 'a/b/c')).isDirectory()).toBe(true);
  symlinkSync(join(dir, 'a'), join(dir, 'link'));
  makeFolder(join(dir, 'link'));
});

test('what can be no folder is an error that names it', () => {
  writeFileSync(join(dir, 'file'), '');
  expect(() => makeFolder(join(dir, 'file'))).toThrow(`cannot write ${dir}/file: `);
  expect(() => makeFolder(join(dir, 'file/below'))).toThrow('ENOTDIR');
  symlinkSync(join(dir, 'nowhere'), join(dir, 'dangling'));
  expect(() => makeFolder(join(dir, 'dangling'))).toThrow('EEXIST');
});

test.runIf(process.platform === 'linux')(
  'a file system that makes no folders does not keep us for ever',
  () => {
    expect(() => makeFolder('/proc/kvasir/out')).toThrow('cannot write /proc/kvasir: ENOENT');
  },
);
