import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VERBS } from '../../src/bin/verbs.ts';

const PROGRAM = join(import.meta.dirname, '../../dist/bin/kvasir.js');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-cli-'));

function kvasir(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe('help', () => {
  test('lists every command and exits 0', () => {
    const { status, stdout } = kvasir(['--help']);
    expect(status).toBe(0);
    for (const verb of Object.keys(VERBS)) expect(stdout).toContain(verb);
  });

  test.each(Object.keys(VERBS))('of kvasir %s shows its flags with their environment variables', (verb) => {
    const { status, stdout } = kvasir([...verb.split(' '), '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain(`Usage: kvasir ${verb}`);
    expect(stdout).toMatch(/--log-level <NAME>[\s\S]*env\s+KVASIR_LOG_LEVEL/);
  });

  test('names the version of the package', () => {
    expect(kvasir(['--version']).stdout).toMatch(/^\d+\.\d+\.\d+/);
  });
});

describe('a mistake on the command line', () => {
  let busy: Server;
  let busyPort = 0;
  beforeAll(async () => {
    busy = createServer();
    await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
    busyPort = (busy.address() as { port: number }).port;
  });
  afterAll(() => void busy.close());

  const MISTAKES: readonly [what: string, args: () => string[], status: 1 | 2, says: RegExp][] = [
    [
      'an unknown command',
      () => ['fronted'],
      2,
      /unknown command "fronted"[\s\S]*Did you mean kvasir frontend\?/,
    ],
    ['an unknown flag', () => ['up', '--wrokers', '3'], 2, /unknown option '--wrokers'[\s\S]*--workers/],
    ['a flag without its value', () => ['up', '--workers'], 2, /--workers <N>' argument missing/],
    ['a word too many', () => ['up', 'now'], 2, /too many arguments/],
    ['a number that is none', () => ['up', '--workers', 'four'], 2, /--workers: "four" is not a number/],
    ['a number out of range', () => ['up', '--http-port', '70000'], 2, /--http-port: "70000" is above 65535/],
    ['a choice that is none', () => ['up', '--router-mode', 'round-robn'], 2, /Did you mean round-robin\?/],
    [
      'a missing configuration file',
      () => ['up', '--config', join(folder, 'absent.yaml')],
      2,
      /--config: .*absent\.yaml cannot be read/,
    ],
    ['broken YAML', () => ['up', '--config', file('broken.yaml', 'workers: [')], 2, /is not valid YAML/],
    ['YAML that is no mapping', () => ['up', '--config', file('list.yaml', '- 1')], 2, /must hold a mapping/],
    [
      'an unknown YAML key',
      () => ['up', '--config', file('key.yaml', 'wrokers: 3')],
      2,
      /unknown setting wrokers[\s\S]*Did you mean workers\?/,
    ],
    [
      'a YAML value of the wrong type',
      () => ['up', '--config', file('type.yaml', 'workers: many')],
      2,
      /workers in .*type\.yaml: "many" is not a number/,
    ],
    ['no engine', () => ['frontend'], 2, /no engine is given[\s\S]*--engine/],
    ['an engine address that is none', () => ['frontend', '--engine', 'gpu1'], 2, /--engine: .*gpu1/],
    [
      'an unknown key of an engine',
      () => ['frontend', '--engine', 'http://h:1,kv-event=tcp://h:2'],
      2,
      /Did you mean kv-events\?/,
    ],
    [
      'a busy port of up',
      () => ['up', '--workers', '1', '--system-port-base', '0', '--http-port', String(busyPort)],
      1,
      /port \d+ on 127\.0\.0\.1 is already in use[\s\S]*--http-port/,
    ],
    [
      'a busy port of a worker',
      () => ['worker', '--http-port', String(busyPort)],
      1,
      /already in use[\s\S]*--http-port/,
    ],
    [
      'a busy system port',
      () => ['worker', '--http-port', '0', '--system-port', String(busyPort)],
      1,
      /already in use[\s\S]*--system-port/,
    ],
    [
      'a missing trace',
      () => ['bench', '--url', 'http://127.0.0.1:1', '--trace', join(folder, 'absent.jsonl')],
      1,
      /absent\.jsonl/,
    ],
    [
      'a malformed trace',
      () => ['bench', '--url', 'http://127.0.0.1:1', '--trace', file('bad.jsonl', '{"timestamp": 1,')],
      1,
      /bad\.jsonl/,
    ],
    [
      'a server that is not there',
      () => ['bench', '--url', 'http://127.0.0.1:1', '--requests', '1', '--ready-check-timeout-sec', '1'],
      1,
      /127\.0\.0\.1:1/,
    ],
    [
      'a missing tokenizer',
      () => [
        'frontend',
        '--engine',
        'http://127.0.0.1:1',
        '--http-port',
        '0',
        '--tokenizer',
        join(folder, 'absent.json'),
      ],
      1,
      /absent\.json/,
    ],
    [
      'a missing key file',
      () => [
        'frontend',
        '--engine',
        'http://127.0.0.1:1',
        '--http-port',
        '0',
        '--api-key-file',
        join(folder, 'keys'),
      ],
      1,
      /cannot read .*keys/,
    ],
    ['a missing deployment', () => ['profile', 'sla'], 2, /a deployment file is needed/],
  ];

  test.each(MISTAKES)('is told of %s', (_, args, status, says) => {
    const result = kvasir(args(), { KVASIR_LOG_LEVEL: 'error' });
    expect(result.stderr).toMatch(says);
    expect(result.status).toBe(status);
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  test('in an environment variable is told by its name', () => {
    const { status, stderr } = kvasir(['up'], { KVASIR_WORKERS: '0' });
    expect(stderr).toContain('KVASIR_WORKERS: "0" is below 1');
    expect(status).toBe(2);
  });
});
