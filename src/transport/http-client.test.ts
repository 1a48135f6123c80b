import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { RealClock } from '../base/clock.ts';
import { engineKey, parseEngineSpec } from './engine-spec.ts';
import { HttpClient } from './http-client.ts';
import { Relay } from './relay.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('an engine’s key goes to that engine only, whatever the client sent', async () => {
  const seen: (string | undefined)[] = [];
  const start = async (): Promise<string> => {
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.setHeader('content-type', 'application/json').end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const [guarded, open] = [await start(), await start()];
  const client = new HttpClient();
  cleanups.push(() => client.stop());
  client.authorize(`${guarded}/base`, 'k1');
  const headers = { authorization: 'Bearer clients' };
  await client.json(`${guarded}/v1/models`, { timeoutMs: 5000 });
  await client.json(`${guarded}/v1/models`, { timeoutMs: 5000, headers });
  await client.json(`${open}/v1/models`, { timeoutMs: 5000 });
  const request = {
    pool: client.pool(guarded),
    path: '/',
    headers,
    body: '',
    headersTimeoutMs: 5000,
    idleTimeoutMs: 5000,
  };
  const outcome = await new Relay(request, { begin: () => {}, data: () => true }, new RealClock()).outcome;
  expect(outcome.kind).toBe('answered');
  expect(seen).toEqual(['Bearer k1', 'Bearer k1', undefined, 'Bearer k1']);
});

test('a key is named by its variable, which must be set', () => {
  const spec = parseEngineSpec('http://x:1,api-key-env=VLLM_KEY');
  expect(engineKey(spec, { VLLM_KEY: 'k' })).toBe('k');
  expect(() => engineKey(spec, {})).toThrow(/VLLM_KEY/);
  expect(engineKey(parseEngineSpec('http://x:1'), {})).toBeUndefined();
});
