import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-package-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

describe('the published package', () => {
  test('holds the program, its assets and nothing else', () => {
    const [packed] = JSON.parse(
      run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT),
    ) as [{ filename: string; files: { path: string }[] }];
    const tops = new Set(packed.files.map(({ path }) => path.split('/')[0]));
    expect([...tops].sort()).toEqual(['LICENSE', 'README.md', 'assets', 'deploy', 'dist', 'package.json']);
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toContain('dist/bin/kvasir.js');
    expect(paths).toContain('assets/fonts/Inter-Regular.ttf');
    expect(paths.filter((path) => path.includes('.test.'))).toEqual([]);
  });

  test('installs without optional packages, runs, and can be used as a library', () => {
    writeFileSync(join(folder, 'package.json'), '{"name":"consumer","private":true,"type":"module"}');
    const tarball = run('sh', ['-c', 'ls *.tgz']).trim();
    run('npm', ['install', '--omit=optional', '--no-audit', '--no-fund', '--ignore-scripts', tarball]);
    expect(run('npx', ['kvasir', '--version'])).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(run('npx', ['kvasir', 'up', '--help'])).toContain('--router-mode');
    const script =
      "import { BlockHasher } from 'kvasir/kv/hash'; console.log(new BlockHasher().hashPrompt(Uint32Array.of(1, 2, 3, 4), 4).local[0]);";
    expect(run(process.execPath, ['--input-type=module', '-e', script])).toBe('14643705804678351452n\n');
  });

  test('passes publint', () => {
    const findings = run('npx', ['publint', '--strict'], ROOT);
    expect(findings).toContain('All good!');
  });
});
