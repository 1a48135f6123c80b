// npm run build: src/ -> dist/. The WASM kernel is committed as generated source, so nothing else is compiled here.
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
if (status !== 0) process.exit(1);
chmodSync('dist/bin/kvasir.js', 0o755);
