import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  payloads,
  post,
  requestsTotal,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';
import { until } from '../../test/support/until.ts';
import { SSE_DONE } from '../formats/sse/frame.ts';
import type { QueueConfig } from '../kv/queue/policy-classes.ts';
import { bareInstance } from '../transport/discovery.ts';

cleanUp();

describe('the frontend, when things go wrong,', () => {
  test('tries another worker when one dies before its first byte', async () => {
    const [bad, good] = [await startEngine(), await startEngine()];
    bad.behave = 'die at once';
    const { url, value, routers } = await startFrontend({ engines: [bad, good] });
    for (let i = 0; i < 6; i++) {
      const messages = [{ role: 'user', content: `${i} is a prompt of its own` }];
      const response = await post(url, '/v1/chat/completions', { ...CHAT, messages, stream: i % 2 === 0 });
      expect(response.status).toBe(200);
      expect(response.headers.get('x-kvasir-worker-id')).toBe('2');
      await response.text();
    }
    expect(good.seen).toHaveLength(6);
    const retries = 'dynamo_frontend_model_migration_total{migration_type="new_request",model="m"}';
    expect(await value(retries)).toBe(bad.seen.length);
    expect(bad.seen.length).toBeGreaterThan(0);
    expect(routers[0]?.loads().map((load) => load.activeRequests)).toEqual([0, 0]);
  });

  test('gives up after its retries, and at once where the client named the worker', async () => {
    const engines = [await startEngine(), await startEngine(), await startEngine(), await startEngine()];
    for (const engine of engines) engine.behave = 'refuse 503';
    const { url } = await startFrontend({ engines });
    const response = await post(url, '/v1/chat/completions', CHAT);
    expect(response.status).toBe(503);
    expect(engines.map((engine) => engine.seen.length).reduce((a, b) => a + b)).toBe(3);
    const pinned = { headers: { 'x-worker-instance-id': '4' } };
    const before = engines[3]?.seen.length ?? 0;
    expect((await post(url, '/v1/chat/completions', CHAT, pinned)).status).toBe(503);
    expect(engines[3]?.seen.length).toBe(before + 1);
  });

  test('leaves out a worker that keeps failing, shows it, and trusts it again after trials', async () => {
    const [bad, good] = [await startEngine(), await startEngine()];
    bad.behave = 'refuse 503';
    const circuits = { failures: 2, openMs: 1500, successes: 2 };
    const { url, frontend } = await startFrontend({
      engines: [bad, good],
      circuits,
      router: { mode: 'round-robin' },
    });
    const send = async (): Promise<void> => {
      const response = await post(url, '/v1/chat/completions', CHAT);
      expect(response.status).toBe(200);
      await response.text();
    };
    const state = async (): Promise<string> => {
      const { ranks } = (await (await fetch(`${url}/debug/ranks`)).json()) as {
        ranks: { worker: { workerId: string }; circuit: { state: string } }[];
      };
      return ranks.find(({ worker }) => worker.workerId === '1')!.circuit.state;
    };
    while (bad.seen.length < 2) await send();
    expect(await state()).toBe('open');
    for (let i = 0; i < 6; i++) await send();
    expect(bad.seen).toHaveLength(2);
    bad.behave = 'answer';
    const pool = frontend.directory.pools()[0]!;
    await until(() => pool.circuits.leftOut().length === 0);
    while ((await state()) !== 'closed') await send();
    expect(bad.seen).toHaveLength(4);
  });

  test('goes on with workers that come when the last one has gone', async () => {
    const [dying, fresh] = [await startEngine(), await startEngine()];
    dying.behave = 'die in stream';
    const { url, discovery } = await startFrontend({
      engines: [dying],
      parts: { retryLimit: 8, retryBackOffMs: 30, migrationLimit: 2 },
    });
    void until(() => dying.seen.length === 1).then(async () => {
      discovery.remove('1');
      discovery.put({ ...bareInstance('2', fresh.url), models: ['m'], blockSize: 4, contextLength: 200 });
    });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
    expect(payloads(await response.text()).at(-2)).not.toContain('"error"');
    expect(fresh.seen).toHaveLength(1);
  });

  test('waits and tries again when the only worker fails for a moment', async () => {
    const engine = await startEngine();
    engine.behave = 'refuse 503';
    const { url } = await startFrontend({ engines: [engine], parts: { retryLimit: 5, retryBackOffMs: 40 } });
    void until(() => engine.seen.length === 2).then(() => {
      engine.behave = 'answer';
    });
    const response = await post(url, '/v1/chat/completions', CHAT);
    expect(response.status).toBe(200);
    expect(engine.seen.length).toBeGreaterThan(2);
  });

  test.each([
    ['die in stream', /ended its answer early: it closed the connection/],
    ['end before finish', /ended its answer early: its stream ended without \[DONE\]/],
    ['error in stream', /^out of luck$/],
  ])('tells the client of an engine that will %s', async (behave, message) => {
    const engine = await startEngine();
    const { url, value, routers } = await startFrontend({ engines: [engine] });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, behave });
    expect(response.status).toBe(200);
    const events = payloads(await response.text());
    expect(events.at(-1)).toBe('[DONE]');
    expect(JSON.parse(events.at(-2) ?? '').error.message).toMatch(message);
    await until(async () => (await value(requestsTotal(true, 'internal'))) === 1);
    expect(routers[0]?.loads()[0]?.activeRequests).toBe(0);
    expect(await value('dynamo_frontend_inflight_requests{model="m"}')).toBe(0);
  });

  test('takes an answer for whole that has finished, though its engine never says [DONE]', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine], parts: { migrationLimit: 3 } });
    const body = { ...CHAT, stream: true, behave: 'end without done' };
    const events = payloads(await (await post(url, '/v1/chat/completions', body)).text());
    expect(events.at(-1)).toBe('[DONE]');
    expect(JSON.parse(events.at(-2)!).choices[0].finish_reason).toBe('length');
    await until(async () => (await value(requestsTotal(true))) === 1);
    expect(engine.seen).toHaveLength(1);
    // Of two, one has not finished.
    const two = payloads(await (await post(url, '/v1/chat/completions', { ...body, n: 2 })).text());
    expect(JSON.parse(two.at(-2)!).error.message).toMatch(/ended without \[DONE\]/);
  });

  test('gives up an engine that never answers, or falls silent', async () => {
    const engine = await startEngine();
    const parts = { headersTimeoutMs: 400, idleTimeoutMs: 400 };
    const { url, value } = await startFrontend({ engines: [engine], parts });
    const mute = await post(url, '/v1/chat/completions', { ...CHAT, behave: 'never answer' });
    expect(mute.status).toBe(504);
    expect(((await mute.json()) as { error: { message: string } }).error.message).toMatch(
      /after 400 ms of waiting/,
    );
    const silent = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, behave: 'never end' });
    const events = payloads(await silent.text());
    expect(JSON.parse(events.at(-2) ?? '').error).toMatchObject({ code: 504, type: 'GatewayTimeoutError' });
    await until(async () => (await value(requestsTotal(true, 'response_timeout'))) === 1);
    expect(await value(requestsTotal(false, 'response_timeout'))).toBe(1);
    await until(() => engine.active === 0);
  });

  test('cancels at the engine when the client leaves, and all sums come out even', async () => {
    const engines = [await startEngine(), await startEngine()];
    for (const engine of engines) engine.delayMs = 3;
    const { url, value, routers, frontend } = await startFrontend({ engines });
    const sent = 24;
    let seenTokens = 0;
    const one = async (i: number): Promise<void> => {
      const leave = new AbortController();
      const kind = i % 3;
      const body = {
        ...CHAT,
        // One that leaves with nothing must do so before its answer is there, also on a busy machine.
        max_tokens: kind === 1 ? 150 : 60,
        stream: kind !== 1,
        messages: [{ role: 'user', content: `Hi ${i}` }],
      };
      const asked = post(url, '/v1/chat/completions', body, { signal: leave.signal });
      if (kind === 1) {
        const arrived = (): boolean =>
          engines.some(({ seen }) => seen.some((each) => each.text.includes(`"Hi ${i}"`)));
        await until(arrived);
        leave.abort();
        return void (await asked.catch(() => {}));
      }
      let text = '';
      try {
        for await (const piece of (await asked).body as unknown as AsyncIterable<Uint8Array>) {
          text += Buffer.from(piece).toString();
          if (kind === 2 && text.includes('w10 ')) leave.abort();
        }
      } catch (thrown) {
        expect(leave.signal.aborted, String(thrown)).toBe(true);
      }
      if (kind === 0) seenTokens += payloads(text).filter((event) => event.includes('"content":"w')).length;
    };
    await Promise.all(Array.from({ length: sent }, (_, i) => one(i)));
    await until(() => frontend.inFlight === 0 && engines.every((engine) => engine.active === 0));
    expect(await value('dynamo_frontend_inflight_requests{model="m"}')).toBe(0);
    expect(await value('dynamo_frontend_queued_requests{model="m"}')).toBe(0);
    expect(routers.flatMap((router) => router.loads()).map((load) => load.activeRequests)).toEqual([0, 0]);
    expect(routers.flatMap((router) => router.loads()).map((load) => load.activeDecodeBlocks)).toEqual([
      0, 0,
    ]);
    const done = await value(requestsTotal(true));
    const cancelled = await value(requestsTotal(true, 'cancelled'));
    expect([done, cancelled, await value(requestsTotal(false, 'cancelled'))]).toEqual([8, 8, 8]);
    expect(await value('dynamo_frontend_request_duration_seconds_count{model="m"}')).toBe(sent);
    expect(await value('dynamo_frontend_disconnected_clients')).toBe(16);
    expect(seenTokens).toBe(8 * 60);
    const counted = await value('dynamo_frontend_output_tokens_total{model="m"}');
    expect(counted).toBeGreaterThanOrEqual(seenTokens + 8 * 11);
    expect(counted).toBeLessThan(sent * 60);
    expect(await value('dynamo_frontend_output_sequence_tokens_sum{model="m"}')).toBe(counted);
  });

  test.each(['die after done', 'linger after done'] as const)(
    'counts an answer as whole with its [DONE], also of engines that %s, and of clients that leave with it',
    async (behave) => {
      const engines = [await startEngine(), await startEngine()];
      for (const engine of engines) engine.behave = behave;
      const parts = { migrationLimit: 1, idleTimeoutMs: 1000 };
      const { url, value, frontend } = await startFrontend({ engines, parts });
      const one = async (leaves: boolean): Promise<void> => {
        const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
        let text = '';
        for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
          text += Buffer.from(piece).toString();
          if (leaves && text.endsWith(SSE_DONE)) break;
        }
        expect(text.endsWith(SSE_DONE)).toBe(true);
      };
      await Promise.all(Array.from({ length: 12 }, (_, i) => one(i % 2 === 0)));
      await until(() => frontend.inFlight === 0 && engines.every((engine) => engine.active === 0));
      expect(await value(requestsTotal(true))).toBe(12);
      expect(await value(requestsTotal(true, 'cancelled'))).toBe(0);
      expect(await value('dynamo_frontend_disconnected_clients')).toBe(0);
      const moved = 'dynamo_frontend_model_migration_total{migration_type="ongoing_request",model="m"}';
      expect(await value(moved)).toBe(0);
    },
  );

  test('answers 503 while nobody serves, and takes workers in as they come and go', async () => {
    const { url, discovery, value } = await startFrontend();
    const engine = await startEngine();
    const status = async (path: string): Promise<number> => (await fetch(url + path)).status;
    expect(await status('/health')).toBe(503);
    expect(await status('/live')).toBe(200);
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(503);
    const instance = {
      ...bareInstance('9', engine.url),
      models: ['m'],
      loras: ['m-lora'],
      contextLength: 99,
    };
    discovery.put(instance);
    await until(async () => (await status('/health')) === 200);
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: Record<string, unknown>[] };
    expect(data).toMatchObject([
      { id: 'm', object: 'model', owned_by: 'kvasir', parent: null, max_model_len: 99 },
      { id: 'm-lora', parent: 'm', root: 'm' },
    ]);
    expect((await post(url, '/v1/chat/completions', { ...CHAT, model: 'm-lora' })).status).toBe(200);
    expect(await value('dynamo_frontend_model_context_length{model="m"}')).toBe(99);
    discovery.put({ ...instance, contextLength: 120 });
    expect(await value('dynamo_frontend_model_context_length{model="m"}')).toBe(120);
    discovery.remove('9');
    expect(await status('/health')).toBe(503);
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(503);
  });

  test('is not ready before enough workers have joined, and stays so when one leaves', async () => {
    const engines = [await startEngine(), await startEngine()];
    const { url, discovery, instances } = await startFrontend({ parts: { minInitialWorkers: 2 } });
    const [first, second] = engines.map((engine, i) => ({
      ...bareInstance(String(i), engine.url),
      models: ['m'],
    }));
    expect(instances).toEqual([]);
    if (first !== undefined) discovery.put(first);
    const early = await post(url, '/v1/chat/completions', CHAT);
    expect(early.status).toBe(503);
    expect(await early.text()).toContain('fewer than 2 workers have joined');
    if (second !== undefined) discovery.put(second);
    await until(async () => (await fetch(`${url}/health`)).status === 200);
    discovery.remove('0');
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(200);
  });

  test('lets requests wait for a worker, serves them in order, and forgets who leaves the line', async () => {
    const engine = await startEngine();
    engine.delayMs = 30;
    const only = { name: 'default', family: 'default', quantum: 8192, busyThreshold: 1 };
    const queue: QueueConfig = {
      classes: [{ ...only, queuePolicy: 'fcfs' }],
      defaultFamily: 'default',
      buckets: [],
    };
    const { url, routers, frontend } = await startFrontend({ engines: [engine], router: { queue } });
    const ask = (i: number, init: RequestInit = {}): Promise<Response> =>
      post(
        url,
        '/v1/chat/completions',
        { ...CHAT, messages: [{ role: 'user', content: `${i} waits` }] },
        init,
      );
    const first = ask(0);
    await until(() => engine.seen.length === 1);
    const leave = new AbortController();
    const left = ask(1, { signal: leave.signal }).catch(() => undefined);
    const second = ask(2);
    await until(() => frontend.inFlight === 3);
    expect(engine.seen).toHaveLength(1);
    leave.abort();
    await left;
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
    expect(engine.seen.map(({ text }) => /\d waits/.exec(text)?.[0])).toEqual(['0 waits', '2 waits']);
    await until(() => frontend.inFlight === 0);
    expect(routers[0]?.loads()[0]?.activeRequests).toBe(0);
  });

  test('refuses a worker whose block size is not that of its model', async () => {
    const [engine, other] = [await startEngine(), await startEngine()];
    const { url, frontend, discovery } = await startFrontend({ engines: [engine] });
    discovery.put({ ...bareInstance('2', other.url), models: ['m'], blockSize: 64 });
    expect(
      frontend.directory
        .find('m')
        .pool.instances()
        .map((each) => each.workerId),
    ).toEqual(['1']);
    const { refused } = (await (await fetch(`${url}/debug/ranks`)).json()) as { refused: object[] };
    expect(refused).toEqual([
      {
        model: 'm',
        workerId: '2',
        url: other.url,
        reason: 'its KV blocks hold 64 tokens, those of its model 4',
      },
    ]);
    // Once the others have gone, as in a change of the block size worker by worker, it makes the pool.
    discovery.remove('1');
    await until(async () => (await fetch(`${url}/health`)).status === 200);
    expect((await post(url, '/v1/chat/completions', CHAT)).headers.get('x-kvasir-worker-id')).toBe('2');
    discovery.remove('2');
    expect(await (await fetch(`${url}/debug/ranks`)).json()).toEqual({ ranks: [], refused: [] });
  });

  test('lets requests under way end when it stops', async () => {
    const engine = await startEngine();
    engine.delayMs = 10;
    const { url, frontend } = await startFrontend({ engines: [engine] });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 20 });
    const stopped = frontend.stop();
    expect(payloads(await response.text()).at(-1)).toBe('[DONE]');
    await stopped;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });
});
