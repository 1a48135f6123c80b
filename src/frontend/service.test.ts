import { describe, expect, test } from 'vitest';
import { CHAT, cleanUp, post, startEngine, startFrontend } from '../../test/support/frontend-setup.ts';
import { until } from '../../test/support/until.ts';
import { parseApiKeys } from './api-key-file.ts';

cleanUp();

describe('the frontend as a service', () => {
  test('sends a request where its headers or nvext say, headers first', async () => {
    const engines = [await startEngine(), await startEngine()];
    const { url } = await startFrontend({ engines, facts: { dpSize: 2 } });
    const worker = async (body: object, headers: Record<string, string> = {}): Promise<string> => {
      const response = await post(url, '/v1/chat/completions', { ...CHAT, ...body }, { headers });
      return `${response.status} ${response.headers.get('x-kvasir-worker-id')}/${response.headers.get('x-kvasir-dp-rank')}`;
    };
    const nvext = { backend_instance_id: 2, dp_rank: 1 };
    expect(await worker({ nvext })).toBe('200 2/1');
    expect(engines[1]?.seen[0]?.headers['x-data-parallel-rank']).toBe('1');
    expect(await worker({ nvext }, { 'x-dynamo-worker-instance-id': '1', 'x-dp-rank': '0' })).toBe('200 1/0');
    expect(await worker({ nvext }, { 'x-worker-instance-id': 'nonsense' })).toBe('200 2/1');
    expect(await worker({ nvext: { backend_instance_id: '17868415983866978093', dp_rank: 0 } })).toBe(
      '400 null/null',
    );
    expect(await worker({ nvext: { backend_instance_id: 2 } })).toBe('400 null/null');
  });

  test('names the rank to SGLang in the body too, as its older versions take no header', async () => {
    const engines = [await startEngine()];
    const { url } = await startFrontend({ engines, facts: { dpSize: 2, kind: 'sglang' } });
    await post(url, '/v1/chat/completions', CHAT, {
      headers: { 'x-dp-rank': '1', 'x-worker-instance-id': '1' },
    });
    expect(engines[0]?.seen[0]?.body).toMatchObject({ routed_dp_rank: 1, data_parallel_rank: 1 });
    const other = await startFrontend({ engines, facts: { dpSize: 2, kind: 'vllm' } });
    await post(other.url, '/v1/chat/completions', CHAT);
    expect(engines[0]?.seen[1]?.body).not.toHaveProperty('routed_dp_rank');
  });

  test('keeps tenants apart and passes their salt to the engine', async () => {
    const engine = await startEngine();
    const { url, routers } = await startFrontend({ engines: [engine] });
    for (const tenant of ['a', 'a', 'b'])
      await (await post(url, '/v1/chat/completions', CHAT, { headers: { 'x-tenant-id': tenant } })).text();
    expect(engine.seen.map((seen) => seen.body.cache_salt)).toEqual([
      'dynamo-cache-salt:a',
      'dynamo-cache-salt:a',
      'dynamo-cache-salt:b',
    ]);
    expect([...(routers[0]?.decisions.latest() ?? [])].map((each) => each.requestId)).toHaveLength(3);
  });

  test('asks for a key where keys are set, and lets no part of one out', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({
      engines: [engine],
      options: { apiKeys: parseApiKeys('s3cret\nother', 'keys') },
    });
    for (const [authorization, status] of [
      [undefined, 401],
      ['Bearer nope', 401],
      ['Bearer s3cret', 200],
      ['bearer other', 200],
    ] as const) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const response = await post(url, '/v1/chat/completions', CHAT, { headers });
      expect(response.status).toBe(status);
      if (status === 401)
        expect(await response.json()).toMatchObject({ error: { type: 'AuthenticationError' } });
    }
    expect(engine.seen.map((seen) => seen.headers.authorization)).toEqual([undefined, undefined]);
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${url}/debug/decisions`)).status).toBe(401);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });

  test('holds each key to its own limits, and says when to try again', async () => {
    const engine = await startEngine();
    const apiKeys = parseApiKeys(
      'one name=team-a requests-per-minute=2\ntwo name=team-b concurrency=1\nthree',
      'keys',
    );
    const { url, value } = await startFrontend({ engines: [engine], options: { apiKeys } });
    const ask = (key: string, body: object = CHAT) =>
      post(url, '/v1/chat/completions', body, { headers: { authorization: `Bearer ${key}` } });
    expect([(await ask('one')).status, (await ask('one')).status]).toEqual([200, 200]);
    const refused = await ask('one');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    const text = await refused.text();
    expect(JSON.parse(text)).toMatchObject({ error: { type: 'RateLimitError', code: 429 } });
    expect(text).toContain('2 requests a minute of API key team-a');
    engine.delayMs = 20;
    const [slow, second] = [ask('two'), until(() => engine.active === 1).then(() => ask('two'))];
    expect((await second).status).toBe(429);
    expect((await slow).status).toBe(200);
    // The claim ends just after the client has its answer.
    await until(async () => (await ask('two')).status === 200);
    for (let i = 0; i < 4; i++) expect((await ask('three')).status).toBe(200);
    const limited = (key: string, limit: string) =>
      value(`kvasir_frontend_limited_requests_total{key="${key}",limit="${limit}"}`);
    expect(await limited('team-a', 'requests')).toBe(1);
    expect(await limited('team-b', 'concurrency')).toBeGreaterThan(0);
  });

  test('shows and sets busy thresholds, and the latest decisions', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine] });
    const set = (body: object): Promise<Response> => post(url, '/busy_threshold', body);
    expect(await (await set({ model: 'm', active_decode_blocks_threshold: 0.5 })).json()).toEqual({
      model: 'm',
      active_decode_blocks_threshold: 0.5,
      active_prefill_tokens_threshold: null,
      active_prefill_tokens_threshold_frac: null,
    });
    expect((await set({ model: 'm', active_decode_blocks_threshold: 2 })).status).toBe(400);
    expect((await set({ model: 'x', active_decode_blocks_threshold: 0.1 })).status).toBe(404);
    expect(await (await fetch(`${url}/busy_threshold`)).json()).toMatchObject({
      thresholds: [{ model: 'm', active_decode_blocks_threshold: 0.5 }],
    });
    for (let i = 0; i < 3; i++) await (await post(url, '/v1/chat/completions', CHAT)).text();
    const shown = (await (await fetch(`${url}/debug/decisions?limit=2`)).json()) as { decisions: object[] };
    expect(shown.decisions).toMatchObject([
      {
        number: 2,
        model: 'm',
        hop: 'decode',
        isl: 18,
        actualCachedTokens: 16,
        candidates: [{ chosen: true }],
      },
      { number: 1 },
    ]);
    expect((await fetch(`${url}/debug/decisions?limit=x`)).status).toBe(400);
  });

  test('tells of one model, slashes in its name and all', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine], facts: { models: ['meta/m'] } });
    const found = await fetch(`${url}/v1/models/meta/m`);
    expect(await found.json()).toMatchObject({ id: 'meta/m', object: 'model', max_model_len: 200 });
    expect((await fetch(`${url}/v1/models/meta`)).status).toBe(404);
  });

  test('refuses more requests at once than it is told to take', async () => {
    const engine = await startEngine();
    engine.behave = 'never answer';
    const { url, frontend, value } = await startFrontend({ engines: [engine], options: { maxRequests: 2 } });
    const leave = new AbortController();
    const held = [1, 2].map(() =>
      post(url, '/v1/chat/completions', CHAT, { signal: leave.signal }).catch(() => {}),
    );
    await until(() => frontend.inFlight === 2);
    const refused = await post(url, '/v1/chat/completions', CHAT);
    expect(refused.status).toBe(529);
    expect(await refused.text()).toContain('the frontend has 2 requests in flight');
    leave.abort();
    await Promise.all(held);
    await until(async () => (await value('dynamo_frontend_inflight_requests{model="m"}')) === 0);
  });

  test('describes its routes', async () => {
    const { url } = await startFrontend();
    const page = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
    expect(Object.keys(page.paths)).toEqual(
      expect.arrayContaining([
        '/v1/chat/completions',
        '/v1/completions',
        '/v1/models',
        '/health',
        '/metrics',
      ]),
    );
    expect(JSON.stringify(page.paths['/v1/completions'])).toContain('max_tokens');
  });
});
