// npm run check: types, lint and format, dead code, generated files unchanged. The architecture test runs in vitest.
import { spawnSync } from 'node:child_process';

const steps = [
  ['types', 'tsc', ['--noEmit', '-p', '.']],
  ['types of the page', 'tsc', ['--noEmit', '-p', 'src/dashboard/browser']],
  ['lint and format', 'biome', ['check', '--error-on-warnings', '.']],
  ['dead code', 'knip', []],
  ['architecture', 'vitest', ['run', '--project', 'unit', 'test/architecture.test.ts', '--reporter=dot']],
  ['generated files', 'node', ['scripts/generate.mjs', '--check']],
];
for (const [name, command, args] of steps) {
  const started = performance.now();
  const { status } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `node_modules/.bin:${process.env.PATH}` },
  });
  console.log(
    `${status === 0 ? 'ok' : 'FAILED'}  ${name}  ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  if (status !== 0) process.exit(1);
}
