import { afterEach, describe, expect, test } from 'vitest';
import { post } from '../support/json-service.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { metricSum } from '../support/metric-value.ts';
import { until } from '../support/workers.ts';

const started: KvasirProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.kill();
});

async function start(...args: string[]): Promise<{ process: KvasirProcess; url: string; kvEvents: string }> {
  const process = new KvasirProcess([...args, '--log-level', 'error']);
  started.push(process);
  const { url, kvEvents } = (await process.json()) as { url: string; kvEvents: string };
  return { process, url, kvEvents };
}

const startWorker = () =>
  start('worker', '--http-port', '0', '--kv-events', 'tcp://127.0.0.1:*', '--block-size', '16');
/** A busy machine must not look like a service that is down. */
const PATIENT = ['--remote-indexer-timeout-ms', '5000'];
const PROMPT = 'What one worker has computed for a prompt, another router shall find out by asking. '.repeat(
  4,
);

/** Where a prompt went, and how many of its blocks were known to be there. */
async function ask(url: string, prompt = PROMPT): Promise<{ worker: string | null; blocks: number }> {
  const body = JSON.stringify({ model: 'kvasir-sim', prompt, max_tokens: 2 });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', body, headers });
  expect(response.status).toBe(200);
  await response.text();
  const told = response.headers;
  return { worker: told.get('x-kvasir-worker-id'), blocks: Number(told.get('x-kvasir-overlap-blocks')) };
}

const workersOf = async (url: string): Promise<readonly { worker_id: string; url: string }[]> => {
  const health = await (await fetch(`${url}/health`)).json();
  return (health as { instances?: { worker_id: string; url: string }[] }).instances ?? [];
};

const sumAt = async (url: string, family: string): Promise<number> =>
  metricSum(await (await fetch(`${url}/metrics`)).text(), family);

describe('a router that looks up elsewhere', () => {
  test('finds what another one knows, and goes on by load when that is gone', async () => {
    const workers = await Promise.all([startWorker(), startWorker()]);
    const engines = workers.flatMap(({ url, kvEvents }) => ['--engine', `${url},kv-events=${kvEvents}`]);
    const knowing = await start('frontend', ...engines, '--http-port', '0', '--serve-indexer');
    const asking = await start(
      'frontend',
      ...engines,
      '--http-port',
      '0',
      '--remote-indexer',
      knowing.url,
      ...PATIENT,
    );
    for (const { url } of [knowing, asking]) await until(async () => (await workersOf(url)).length === 2);
    const { worker } = await ask(knowing.url);
    await until(async () => (await ask(knowing.url)).blocks > 10);
    for (let i = 0; i < 4; i++) {
      const found = await ask(asking.url);
      expect([found.worker, found.blocks > 10]).toEqual([worker, true]);
    }
    const failures = 'dynamo_component_router_remote_indexer_query_failures_total';
    expect(await sumAt(asking.url, failures)).toBe(0);
    expect(await sumAt(asking.url, 'kvasir_router_predicted_cached_tokens_total')).toBeGreaterThan(0);
    await knowing.process.kill();
    for (let i = 0; i < 6; i++) expect((await ask(asking.url)).blocks).toBe(0);
    expect(await sumAt(asking.url, failures)).toBeGreaterThanOrEqual(3);
  });

  test('asks kvasir indexer, where workers are registered by the ids that they have here', async () => {
    const worker = await startWorker();
    const indexer = await start('indexer', '--port', '0');
    const engine = ['--engine', `${worker.url},kv-events=${worker.kvEvents}`];
    const { url } = await start(
      'frontend',
      ...engine,
      '--http-port',
      '0',
      '--remote-indexer',
      indexer.url,
      ...PATIENT,
    );
    await until(async () => (await workersOf(url)).length === 1);
    const [instance] = await workersOf(url);
    // Nothing is registered yet: nothing is known, and nothing fails.
    expect((await ask(url)).blocks).toBe(0);
    const registration = {
      instance_id: instance!.worker_id,
      endpoint: worker.kvEvents,
      snapshot_endpoint: `${worker.url}/kv/snapshot`,
      model_name: 'kvasir-sim',
      block_size: 16,
    };
    const headers = { 'content-type': 'application/json' };
    const registered = await fetch(`${indexer.url}/register`, {
      method: 'POST',
      headers,
      body: JSON.stringify(registration),
    });
    expect(registered.status).toBe(201);
    await until(async () => (await ask(url)).blocks > 10);
    const failures = 'dynamo_component_router_remote_indexer_query_failures_total';
    expect(await sumAt(url, failures)).toBe(0);
  });

  test.each([
    ['what it guesses, without events', '', ['--no-router-kv-events']],
    ['what events do not tell yet', 'tcp://127.0.0.1:9', ['--router-predicted-ttl-secs', '60']],
  ])('tells others %s', async (_, silent, flags) => {
    const workers = await Promise.all([startWorker(), startWorker()]);
    // Nobody publishes at the second address, so that all that is known comes from decisions.
    const engines = workers.flatMap(({ url }) => [
      '--engine',
      silent === '' ? url : `${url},kv-events=${silent}`,
    ]);
    const knowing = await start('frontend', ...engines, '--http-port', '0', '--serve-indexer', ...flags);
    const away = ['--remote-indexer', knowing.url, ...PATIENT];
    const [one, two] = await Promise.all([
      start('frontend', ...engines, '--http-port', '0', ...away, ...flags),
      start('frontend', ...engines, '--http-port', '0', ...away, ...flags),
    ]);
    for (const { url } of [knowing, one, two]) await until(async () => (await workersOf(url)).length === 2);
    const { worker, blocks } = await ask(one.url);
    expect(blocks).toBe(0);
    await until(async () => {
      const question = { model_name: 'kvasir-sim', token_ids: [...Buffer.from(PROMPT)] };
      const { body } = await post(`${knowing.url}/query`, question);
      return body.scores[String(worker)]?.['0'] > 0;
    });
    for (const { url } of [one, two, knowing]) {
      const found = await ask(url);
      expect([found.worker, found.blocks > 10]).toEqual([worker, true]);
    }
    const lost = 'dynamo_component_router_remote_indexer_write_failures_total';
    expect(await sumAt(one.url, lost)).toBe(0);
    await knowing.process.kill();
    await ask(one.url);
    await until(async () => (await sumAt(one.url, lost)) > 0);
  });

  test.each([
    [['--use-remote-indexer'], /does not say where/],
    [['--remote-indexer', 'http://x:1', '--serve-indexer'], /Give one of them/],
    [['--remote-indexer', 'indexer:8090'], /Write http:\/\/HOST:PORT/],
  ])('is told what contradicts: %j', async (args, reason) => {
    const process = new KvasirProcess(['frontend', '--http-port', '0', ...args]);
    started.push(process);
    expect(await process.exitCode()).not.toBe(0);
    expect(process.stderr).toMatch(reason);
  });
});
