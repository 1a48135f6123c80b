// Regenerates what is made from source (reference pages). With --check, fails when a committed file differs.
import { spawnSync } from 'node:child_process';

const { status } = spawnSync('node_modules/.bin/tsx', ['scripts/generate.ts', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
