import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { realPart } from '../support/real-part.ts';
import { eventually } from '../support/until.ts';

const PORTS = ['--http-port', '0', '--system-port-base', '0'];
const PROGRAM = join(import.meta.dirname, '../../dist/bin/kvasir.js');

interface Collected {
  readonly core: { readonly kv_efficiency: number | null; readonly complete: boolean };
}

describe.skipIf(realPart('prometheus').skip)('kvasir up --with-prometheus', () => {
  let up: KvasirProcess;
  let ready: { readonly url: string; readonly prometheus: string };

  beforeAll(async () => {
    up = new KvasirProcess([
      'up',
      '--workers',
      '2',
      '--speedup',
      '10',
      '--with-prometheus',
      '--prometheus-port',
      '0',
      ...PORTS,
    ]);
    ready = (await up.json()) as unknown as typeof ready;
  });
  afterAll(async () => {
    // Not killed: it takes its Prometheus along.
    up?.signal('SIGTERM');
    await up?.exitCode();
  });

  test('has what kvasir collect asks for, with the rules of deploy/prometheus', async () => {
    const body = {
      model: 'kvasir-sim',
      messages: [{ role: 'user', content: 'The same long words again and again. '.repeat(40) }],
      max_tokens: 20,
    };
    const headers = { 'content-type': 'application/json' };
    const ask = async (): Promise<void> => {
      const init = { method: 'POST', headers, body: JSON.stringify({ ...body, stream: true }) };
      await (await fetch(`${ready.url}/v1/chat/completions`, init)).text();
    };
    let core: Collected['core'] | undefined;
    const complete = async (): Promise<boolean> => {
      await ask();
      const { stdout } = spawnSync(
        process.execPath,
        [PROGRAM, 'collect', '--prometheus-url', ready.prometheus, '--core-only'],
        { encoding: 'utf8' },
      );
      ({ core } = JSON.parse(stdout) as Collected);
      return core.complete && (core.kv_efficiency ?? 0) > 0.5;
    };
    await eventually(() => JSON.stringify(core), complete, 60_000);
    expect(core?.kv_efficiency).toBeLessThanOrEqual(1);
    const rules = await (await fetch(`${ready.prometheus}/api/v1/rules`)).json();
    expect(JSON.stringify(rules)).toContain('vllm:cache_hit_efficiency');
  });

  test('takes Prometheus along when it ends', async () => {
    up.signal('SIGTERM');
    expect(await up.exitCode()).toBe(0);
    await expect(fetch(`${ready.prometheus}/-/ready`)).rejects.toThrow();
  });

  test('says which flag to change when the port is taken, and leaves nothing running', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const args = ['up', '--workers', '1', '--with-prometheus', '--prometheus-port', String(port), ...PORTS];
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' });
    server.close();
    expect(status).toBe(1);
    expect(stderr).toContain(`port ${port} on 127.0.0.1 is already in use`);
    expect(stderr).toContain('--prometheus-port');
  });
});
