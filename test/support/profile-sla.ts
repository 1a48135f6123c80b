import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT_LOG } from '../../src/base/log.ts';
import { resolveSettings } from '../../src/base/settings.ts';
import { command } from '../../src/commands/profile-sla.ts';
import golden from '../golden/sla/full_run_aic.json' with { type: 'json' };

export const DEPLOYMENT = golden.input_yaml;

/** Settings that make a whole profile take little: short contexts, few points, no painting. */
export const SMALL = {
  charts: false,
  validate: false,
  isl: 200,
  osl: 20,
  maxNumGpusPerEngine: 2,
  maxContextLength: 1100,
  prefillInterpolationGranularity: 3,
  decodeInterpolationGranularity: 2,
} as const;

/** A folder of its own with a deployment file in it. */
export function profileFolder(): { readonly dir: string; readonly deployment: string } {
  const dir = mkdtempSync(join(tmpdir(), 'kvasir-profile-'));
  const deployment = join(dir, 'disagg.yaml');
  writeFileSync(deployment, DEPLOYMENT);
  return { dir, deployment };
}

export interface ProfileOutcome {
  readonly exitCode: number;
  // biome-ignore lint/suspicious/noExplicitAny: the summary is what the tests look at
  readonly summary: any;
  readonly outputDir: string;
  readonly logged: string;
}

/** `kvasir profile sla` in this process; throws what the command line would turn into text and exit code. */
export async function profileSla(
  flags: Readonly<Record<string, unknown>>,
  signal: AbortSignal = new AbortController().signal,
): Promise<ProfileOutcome> {
  const { dir, deployment } = profileFolder();
  const outputDir = String(flags.outputDir ?? join(dir, 'results'));
  const settings = resolveSettings(command.settings, {
    flags: { deployment, ...SMALL, ...flags, outputDir },
    env: {},
  });
  const printed: string[] = [];
  const exitCode = await command.run(settings, {
    log: SILENT_LOG,
    logLevel: 'silent',
    signal,
    interactive: false,
    print: (line) => printed.push(line),
  });
  const logged = readFileSync(join(outputDir, 'profile_sla.log'), 'utf8');
  return { exitCode: exitCode ?? 0, summary: printed[0] && JSON.parse(printed[0]), outputDir, logged };
}

export function statusOf(outputDir: string): string {
  return readFileSync(join(outputDir, 'profiler_status.yaml'), 'utf8');
}

/** The finished measurements of a run, by key, in the order they were made. */
export function journalKeys(outputDir: string): string[] {
  return readFileSync(join(outputDir, 'journal.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as { key: string; failed?: string })
    .filter(({ failed }) => failed === undefined)
    .map(({ key }) => key);
}
