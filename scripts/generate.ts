/** Everything in the repository that is made from other sources. `--check` fails when a committed file differs. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { ERRORS } from '../src/base/errors.ts';
import { VERBS } from '../src/bin/verbs.ts';
import { referencePage } from '../src/commands/command-line.ts';
import { metricsReferencePage } from '../src/metrics/reference-page.ts';
import { makeDashboard } from './build-dashboard.mjs';
import { makeKernel } from './build-kernels.mjs';
import { makeDemoTrace } from './demo-trace.ts';
import { dashboardJson } from './grafana/dashboard.ts';
import { DASHBOARDS } from './grafana/dashboards.ts';

interface Generator {
  /** The file it makes, from the root of the repository. */
  readonly path: string;
  readonly make: () => Promise<string>;
}

const commands = await Promise.all(Object.values(VERBS).map((verb) => verb.load()));

const GENERATORS: readonly Generator[] = [
  {
    path: 'src/kernels/hash-kernel.generated.ts',
    make: () => makeKernel('hash-module', 'HASH_KERNEL'),
  },
  {
    path: 'src/kernels/index-kernel.generated.ts',
    make: () => makeKernel('index-module', 'INDEX_KERNEL'),
  },
  { path: 'src/dashboard/page.generated.ts', make: makeDashboard },
  { path: 'assets/traces/demo.jsonl', make: async () => makeDemoTrace() },
  { path: 'docs/reference/metrics.md', make: async () => metricsReferencePage() },
  { path: 'docs/reference/errors.md', make: async () => errorsPage() },
  ...DASHBOARDS.map((dashboard) => ({
    path: `deploy/grafana/dashboards/${dashboard.uid}.json`,
    make: async () => dashboardJson(dashboard),
  })),
  ...commands.map((command) => ({
    path: `docs/reference/kvasir-${command.name.replace(' ', '-')}.md`,
    make: async () => referencePage(command),
  })),
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

/** The error table as a page: what each code says, and what to do. */
function errorsPage(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = Object.entries(ERRORS).map(
    ([code, { message, status, hint }]) => `| \`${code}\` | ${status} | ${cell(message)} | ${cell(hint)} |`,
  );
  return [
    '# Errors',
    '',
    'Words in braces are filled with the facts of the case.',
    '',
    '| code | HTTP status | message | what to do |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
