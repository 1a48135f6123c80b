import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../src/transport/free-port.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

const FREE = 'tcp://127.0.0.1:0';
const TOKENS = Array.from({ length: 64 }, (_, i) => i);

const running: KvasirProcess[] = [];
let folder = '';
let workers: string[] = [];

async function start(...args: string[]): Promise<{ readonly process: KvasirProcess; readonly url: string }> {
  const process = new KvasirProcess([...args, '--log-level', 'error']);
  running.push(process);
  return { process, url: String((await process.json()).url) };
}

/** The router before both workers, with what it has learnt in a file. */
async function startRouter(...more: string[]) {
  const engines = [...workers.flatMap((url) => ['--engine', url]), ...more];
  const file = ['--policy-state-file', join(folder, 'state.json')];
  const router = await start('thompson', 'router', '--port', '0', ...engines, ...file);
  await eventually(
    'two workers are known',
    async () => ((await (await fetch(`${router.url}/health`)).json()) as { workers: number }).workers >= 2,
  );
  return router;
}

async function post(url: string, body: unknown) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, text, body: JSON.parse(text) };
}

/** Values of a family by worker. */
async function byWorker(url: string, name: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const rows = text.matchAll(new RegExp(`^${name}\\{[^}]*worker_id="(\\d+)"[^}]*\\} (\\S+)$`, 'gm'));
  return new Map([...rows].map(([, worker, value]) => [worker!, Number(value)]));
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvasir-thompson-'));
  const ports = [await freePort(), await freePort()];
  const events = ['--kv-events', FREE, '--replay', FREE, '--system-port', '0'];
  const started = await Promise.all(
    ports.map((port) => start('worker', '--http-port', String(port), ...events)),
  );
  workers = started.map(({ url }) => url);
});
afterEach(async () => {
  for (const process of running.splice(0)) await process.kill();
  await rm(folder, { recursive: true, force: true });
});

test('a Thompson router chooses, learns once from each feedback, and knows it after a restart', async () => {
  const { url, process } = await startRouter();
  const asked = { tokens: TOKENS, prefix_id: 'p', reuse_budget: 3 };
  const found = await post(`${url}/find_worker`, asked);
  expect(found).toMatchObject({ status: 200, body: { prefix_hit_rate: 0 } });
  const { decision_id, worker } = found.body as { decision_id: string; worker: string };
  // Ids exceed what a JavaScript number holds: the digits count.
  expect(found.text).toContain(`"worker_id":${worker},`);
  const told = { decision_id, latency_ms: 120, tokens_in: 64, tokens_out: 10 };
  const learnt = await post(`${url}/feedback`, told);
  expect(learnt).toMatchObject({ status: 200, body: { ok: true, worker_id: worker, error: null } });
  expect(learnt.body.reward).toBeGreaterThan(0);
  expect((await post(`${url}/feedback`, told)).body).toMatchObject({ ok: false, error: 'unknown_decision' });

  // A failure is charged to its worker; a client that left teaches nothing.
  const decide = async (finish_reason: string) => {
    const { body } = await post(`${url}/find_worker`, asked);
    const outcome = { decision_id: body.decision_id, latency_ms: 5, success: false, finish_reason };
    return (await post(`${url}/feedback`, outcome)).body;
  };
  const before = await byWorker(url, 'thompson_router_beta_beta');
  expect(await decide('cancelled')).toMatchObject({ ok: true, reward: null });
  expect(await byWorker(url, 'thompson_router_beta_beta')).toEqual(before);
  const failed = await decide('error');
  const beliefs = await byWorker(url, 'thompson_router_beta_beta');
  expect(beliefs.get(failed.worker_id)).toBeGreaterThan(before.get(failed.worker_id) ?? 1);
  const decisions = await byWorker(url, 'thompson_router_decisions_total');
  expect([...decisions.values()].reduce((sum, count) => sum + count, 0)).toBe(3);

  process.signal('SIGTERM');
  expect(await process.exitCode()).toBe(0);
  const saved = await readFile(join(folder, 'state.json'), 'utf8');
  expect(saved).toContain(failed.worker_id);

  const betaIn = (text: string): number =>
    Number(new RegExp(`"${failed.worker_id}[^"]*":\\{[^}]*"beta":([\\d.]+)`).exec(text)?.[1]);
  // One before anything is known, and one for the failure.
  expect(betaIn(saved)).toBeGreaterThanOrEqual(2);
  const again = await startRouter();
  again.process.signal('SIGTERM');
  expect(await again.process.exitCode()).toBe(0);
  // It only ages a little while the router is away.
  expect(betaIn(await readFile(join(folder, 'state.json'), 'utf8'))).toBeCloseTo(betaIn(saved), 2);
});

test('a Thompson router says what is wrong with what it is told', async () => {
  await writeFile(join(folder, 'state.json'), '{"cut');
  const { url } = await startRouter();
  expect((await readdir(folder)).filter((name) => name.startsWith('state.json.refused-'))).toHaveLength(1);
  for (const [path, body, named] of [
    ['find_worker', { tokens: [] }, 'tokens'],
    ['find_worker', { tokens: [1.5] }, 'tokens.0'],
    ['feedback', { decision_id: 'd', latency_ms: -1 }, 'latency_ms'],
  ] as const) {
    const answer = await post(`${url}/${path}`, body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toContain(named);
  }
  expect((await post(`${url}/find_worker`, '{"tokens": [1')).status).toBe(400);
  expect((await post(`${url}/find_worker`, { tokens: TOKENS, model: 'nobody' })).body).toMatchObject({
    worker_id: -1,
    decision_id: null,
  });
});

test('a Thompson router takes the configuration of the toolkit, and asks for the model where there are several', async () => {
  const config = join(folder, 'config.yaml');
  await writeFile(
    config,
    'infrastructure:\n  router_type: kv\nlints:\n  v: 0.3\nfeedback:\n  timeout_seconds: 30\n',
  );
  const other = await start('worker', '--http-port', '0', '--model-name', 'other', '--system-port', '0');
  const { url } = await startRouter('--engine', other.url, '--config', config, '--lints-v', '0.2');
  await eventually(
    'the other model is known',
    async () => (await post(`${url}/find_worker`, { tokens: TOKENS })).status === 400,
  );
  const { body } = await post(`${url}/find_worker`, { tokens: TOKENS });
  expect(body.error).toMatch(/^model: this router serves several, .*other/);
  const named = await post(`${url}/find_worker`, { tokens: TOKENS, model: 'other' });
  expect(named.body.decision_id).toHaveLength(32);
  // The mode of the toolkit's own router: its first reward compares a request with itself.
  const told = { decision_id: named.body.decision_id, latency_ms: 120, tokens_in: 64, tokens_out: 10 };
  expect((await post(`${url}/feedback`, told)).body).toMatchObject({ used_baseline: 12, reward: 0.5 });

  await writeFile(config, 'lints:\n  w: 1\n');
  const wrong = new KvasirProcess(['thompson', 'router', '--port', '0', '--config', config]);
  expect(await wrong.exitCode()).toBe(2);
  expect(wrong.stderr).toContain('Did you mean lints.v?');
});

test('a standalone router in a Thompson mode is asked and told by a processor', async () => {
  const engines = workers.flatMap((worker) => ['--engine', worker]);
  const router = await start('router', '--router-mode', 'thompson', '--port', '0', ...engines);
  const asking = ['--router-url', router.url, '--http-port', '0', ...engines];
  const { url } = await start('processor', ...asking);
  const messages = [{ role: 'user', content: 'Hello' }];
  const body = { model: 'kvasir-sim', messages, max_tokens: 3 };
  await eventually('it serves', async () => (await post(`${url}/v1/chat/completions`, body)).status === 200);
  const sum = async (family: string): Promise<number> =>
    [...(await byWorker(router.url, family)).values()].reduce((total, count) => total + count, 0);
  await eventually(
    'it has learned',
    async () => (await sum('thompson_router_feedback_latency_seconds_count')) > 0,
  );
  expect(await sum('thompson_router_decisions_total')).toBeGreaterThan(0);
});
