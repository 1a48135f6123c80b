import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../src/transport/free-port.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { natsAccount } from '../support/nats-account.ts';
import { NatsServer } from '../support/nats-server.ts';
import { realPart } from '../support/real-part.ts';
import { eventually } from '../support/until.ts';

const skip = realPart('nats-server').skip || realPart('openssl').skip;
const PASSWORD = 'tops3cret';
const LEASE = ['--lease-secs', '2'];

interface Health {
  readonly discovery: { readonly ok: boolean; readonly detail: string };
  readonly instances?: readonly object[];
}

describe.skipIf(skip)('a fleet on a NATS that is not open to all', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-nats-tls-'));
  const file = (name: string): string => join(folder, name);
  const servers: NatsServer[] = [];
  const processes: KvasirProcess[] = [];

  beforeAll(() => {
    const subject = ['-subj', '/CN=kvasir test', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-keyout', file('key.pem'), '-out', file('cert.pem'), ...subject],
    ]);
    expect(String(made.stderr)).not.toMatch(/error/i);
  });
  afterEach(async () => {
    for (const process of processes.splice(0)) await process.kill();
    for (const server of servers.splice(0)) await server.stop();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function serve(options: Parameters<typeof NatsServer.start>[0]): Promise<NatsServer> {
    const server = await NatsServer.start(options);
    servers.push(server);
    return server;
  }

  async function start(role: 'worker' | 'frontend', nats: string, flags: readonly string[]) {
    const process = new KvasirProcess([role, '--discovery', 'nats', '--http-port', '0', ...LEASE, ...flags], {
      NATS_SERVER: nats,
    });
    processes.push(process);
    const { url } = await process.json();
    return { process, url: String(url) };
  }

  const health = async (url: string): Promise<Health> =>
    (await (await fetch(`${url}/health`)).json()) as Health;

  /** A frontend that finds a worker, knows its cache, and is answered. */
  async function startFleet(nats: string, flags: readonly string[]) {
    const [frontend] = await Promise.all([start('frontend', nats, flags), start('worker', nats, flags)]);
    const { url } = frontend;
    await eventually('the worker is found, and its events come', async () => {
      const { ranks = [] } = (await (await fetch(`${url}/debug/ranks`)).json()) as {
        ranks?: { state: string }[];
      };
      return ranks.length === 1 && ranks[0]!.state === 'exact';
    });
    expect((await ask(url)).status).toBe(200);
    await eventually('its blocks are known', async () => {
      const answer = await ask(url);
      return Number(answer.headers.get('x-kvasir-overlap-blocks')) > 0;
    });
    return frontend;
  }

  async function ask(url: string): Promise<Response> {
    const body = { model: 'kvasir-sim', prompt: 'well kept '.repeat(60), max_tokens: 4 };
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    await response.text();
    return response;
  }

  const tls = () => `tls { cert_file: "${file('cert.pem')}", key_file: "${file('key.pem')}"`;
  const users = `authorization { user: kvasir, password: "${PASSWORD}" }`;

  test('that asks for a password over TLS', async () => {
    const { port } = await serve({ config: `${tls()} }\n${users}` });
    const ca = ['--nats-ca-file', file('cert.pem')];
    await startFleet(`tls://kvasir:${PASSWORD}@127.0.0.1:${port}`, ca);
    // What does not fit is told, and the password is not.
    const wrong = [
      [`tls://kvasir:${PASSWORD}x@127.0.0.1:${port}`, ca, /authorization/i],
      [`tls://kvasir:${PASSWORD}@127.0.0.1:${port}`, [], /certificate/i],
    ] as const;
    for (const [url, flags, reason] of wrong) {
      const frontend = await start('frontend', url, [...flags, '--log-level', 'debug']);
      await eventually('it says why it finds nobody', async () =>
        reason.test((await health(frontend.url)).discovery.detail),
      );
      const told = JSON.stringify(await health(frontend.url)) + frontend.process.stderr;
      expect(told).toContain('NATS cannot be reached');
      expect(told).not.toContain(PASSWORD);
    }
    const missing = new KvasirProcess([
      'frontend',
      '--discovery',
      'nats',
      '--nats-ca-file',
      file('none.pem'),
    ]);
    processes.push(missing);
    expect(await missing.exitCode()).not.toBe(0);
    expect(missing.stderr).toMatch(/cannot read .*none\.pem/);
  });

  test('that asks for certificates', async () => {
    const { port } = await serve({ config: `${tls()}, ca_file: "${file('cert.pem')}", verify: true }` });
    const ca = ['--nats-ca-file', file('cert.pem')];
    await startFleet(`tls://127.0.0.1:${port}`, [
      ...ca,
      ...['--nats-cert-file', file('cert.pem'), '--nats-key-file', file('key.pem')],
    ]);
    const stranger = await start('frontend', `tls://127.0.0.1:${port}`, ca);
    await eventually('one without is told so', async () => {
      const { ok, detail } = (await health(stranger.url)).discovery;
      return !ok && detail !== 'not connected yet';
    });
  });

  test('that knows accounts by their credentials', async () => {
    const { config, credentials } = natsAccount();
    writeFileSync(file('user.creds'), credentials);
    writeFileSync(file('stranger.creds'), natsAccount().credentials);
    const { url } = await serve({ config });
    await startFleet(url, ['--nats-credentials-file', file('user.creds')]);
    const stranger = await start('frontend', url, ['--nats-credentials-file', file('stranger.creds')]);
    await eventually('a stranger is told so', async () =>
      /authorization/i.test((await health(stranger.url)).discovery.detail),
    );
    expect(stranger.process.stderr).not.toMatch(/SEED|JWT/);
  });

  test('of several servers, one of which dies', async () => {
    const routes = await Promise.all([freePort(), freePort(), freePort()]);
    const cluster = await Promise.all(
      routes.map((port, i) =>
        serve({
          args: [
            ...['-n', `n${i}`, '--cluster_name', 'kvasir', '-cluster', `nats://127.0.0.1:${port}`],
            ...['-routes', routes.map((each) => `nats://127.0.0.1:${each}`).join()],
          ],
        }),
      ),
    );
    const all = cluster.map(({ url }) => url).join();
    const { url } = await startFleet(all, ['--nats-replicas', '3']);
    await cluster[0]!.kill();
    let last: Health | undefined;
    const isWhole = async (): Promise<boolean> => {
      last = await health(url);
      return last.discovery.ok && last.instances?.length === 1;
    };
    for (let i = 0; i < 5; i++) {
      await eventually(() => `the fleet goes on with the others: ${JSON.stringify(last)}`, isWhole, 60_000);
      expect((await ask(url)).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 600));
    }
    const late = await start('worker', all, ['--nats-replicas', '3']);
    await eventually(
      'a worker that comes later is found',
      async () => (await health(url)).instances?.length === 2,
    );
    await late.process.kill();
    await eventually('and one that dies is lost', async () => (await health(url)).instances?.length === 1);
  });
});
