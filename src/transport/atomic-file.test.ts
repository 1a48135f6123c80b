import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { removeLeftovers, writeFileAtomic } from './atomic-file.ts';

test('what killed writers left is removed, and nothing else', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'kvasir-atomic-'));
  mkdirSync(join(dir, 'tp1'));
  for (const name of ['a.yaml.0fb9ac8dd0f0.tmp', 'tp1/b.json.0123456789ab.tmp', 'mine.tmp', 'tp1/c.0fb9.tmp'])
    writeFileSync(join(dir, name), '');
  await writeFileAtomic(join(dir, 'a.yaml'), 'whole');
  await removeLeftovers(dir);
  expect(readdirSync(dir, { recursive: true }).toSorted()).toEqual([
    'a.yaml',
    'mine.tmp',
    'tp1',
    'tp1/c.0fb9.tmp',
  ]);
});
