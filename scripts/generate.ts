/** Everything in the repository that is made from other sources. `--check` fails when a committed file differs. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { metricsReferencePage } from '../src/metrics/reference-page.ts';
import { makeKernel } from './build-kernels.mjs';
import { makeDemoTrace } from './demo-trace.ts';

interface Generator {
  /** The file it makes, from the root of the repository. */
  readonly path: string;
  readonly make: () => Promise<string>;
}

const GENERATORS: readonly Generator[] = [
  {
    path: 'src/kernels/hash-kernel.generated.ts',
    make: () => makeKernel('hash-module', 'HASH_KERNEL'),
  },
  { path: 'assets/traces/demo.jsonl', make: async () => makeDemoTrace() },
  { path: 'docs/reference/metrics.md', make: async () => metricsReferencePage() },
];

const check = process.argv.includes('--check');
let stale = 0;
for (const { path, make } of GENERATORS) {
  const made = await make();
  if (existsSync(path) && readFileSync(path, 'utf8') === made) continue;
  stale += 1;
  if (!check) {
    writeFileSync(`${path}.new`, made);
    renameSync(`${path}.new`, path);
  }
  console.error(`${check ? 'out of date' : 'wrote'}: ${path}`);
}
if (check && stale > 0) {
  console.error('run npm run generate and commit the result');
  process.exit(1);
}
