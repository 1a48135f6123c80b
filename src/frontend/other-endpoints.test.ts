import { describe, expect, test } from 'vitest';
import { CHAT, cleanUp, post, startEngine, startFrontend } from '../../test/support/frontend-setup.ts';
import { until } from '../../test/support/until.ts';
import { chatOfResponses } from '../formats/openai/responses-request.ts';

cleanUp();

const MODEL = '{model="m"}';
const total = (endpoint: string, type: string, error = ''): string =>
  `dynamo_frontend_requests_total{endpoint="${endpoint}",error_type="${error}",model="m",request_type="${type}",status="${error === '' ? 'success' : 'error'}"}`;
const eventsOf = (text: string): { type: string; sequence_number: number }[] =>
  [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data!));
const ASK = { model: 'm', instructions: 'Be brief.', input: 'Hello there' };

describe('embeddings', () => {
  test('are passed on as they are, counted, and their latency observed', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine] });
    const body = { model: 'm', input: ['one', 'two'], dimensions: 2, user: 'me' };
    const response = await post(url, '/v1/embeddings', body);
    expect(await response.json()).toMatchObject({ object: 'list', usage: { prompt_tokens: 40 } });
    expect(engine.seen[0]).toMatchObject({ path: '/v1/embeddings', text: JSON.stringify(body) });
    await until(async () => (await value(total('embeddings', 'unary'))) === 1);
    expect(await value(`dynamo_frontend_embedding_latency_seconds_count${MODEL}`)).toBe(1);
    expect((await value(`dynamo_frontend_time_to_first_token_seconds_count${MODEL}`)) ?? 0).toBe(0);
  });

  test('go where load is least, whatever is cached there', async () => {
    const engines = [await startEngine(), await startEngine()];
    for (const engine of engines) engine.delayMs = 100;
    const { url, routers } = await startFrontend({ engines });
    const input = 'the same long text for everybody';
    await Promise.all([1, 2].map(() => post(url, '/v1/embeddings', { model: 'm', input })));
    expect(engines.map((engine) => engine.seen.length)).toEqual([1, 1]);
    expect(routers[0]?.loads()).toMatchObject([{ activeRequests: 0 }, { activeRequests: 0 }]);
  });

  test('of an engine that has none are its 404', async () => {
    const engine = await startEngine();
    engine.refusal = { status: 404, body: '{"detail":"Not Found"}' };
    const { url, value } = await startFrontend({ engines: [engine] });
    const response = await post(url, '/v1/embeddings', { model: 'm', input: [1, 2] });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({
      error: { message: 'Not Found', type: 'NotFoundError', param: null, code: 404 },
    });
    await until(async () => (await value(total('embeddings', 'unary', 'not_found'))) === 1);
  });

  test('without input are refused here', async () => {
    const { url } = await startFrontend({ engines: [await startEngine()] });
    const response = await post(url, '/v1/embeddings', { model: 'm' });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param: 'input' } }]);
  });

  test('move on from an engine that dies', async () => {
    const engines = [await startEngine(), await startEngine()];
    engines[0]!.next = engines[1]!.next = ['die at once'];
    const { url } = await startFrontend({ engines });
    expect((await post(url, '/v1/embeddings', { model: 'm', input: 'x' })).status).toBe(200);
  });
});

describe('responses', () => {
  test('are routed by the tokens of the chat that they are, and leave as they came', async () => {
    const engine = await startEngine();
    const { url, value, routers } = await startFrontend({ engines: [engine] });
    const answer = (await (await post(url, '/v1/responses', ASK)).json()) as { object: string };
    expect(answer).toMatchObject({ object: 'response', usage: { input_tokens: 40, output_tokens: 5 } });
    expect(engine.seen[0]?.text).toBe(JSON.stringify(ASK));
    const decision = routers[0]?.decisions.find(0);
    const { messages } = chatOfResponses(ASK)!;
    await post(url, '/v1/chat/completions', { model: 'm', messages });
    expect(decision).toMatchObject({ isl: routers[0]!.decisions.find(1)!.isl, actualCachedTokens: 16 });
    await until(async () => (await value(total('responses', 'unary'))) === 1);
  });

  test('stream event by event, counted token by token', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine] });
    const text = await (await post(url, '/v1/responses', { ...ASK, stream: true })).text();
    const events = eventsOf(text);
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      ...Array.from({ length: 5 }, () => 'output_text.delta'),
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'incomplete',
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, i) => i));
    expect(text).toMatch(/^event: response\.created\ndata: /);
    expect(engine.seen[0]?.body.stream_options).toBeUndefined();
    await until(async () => (await value(total('responses', 'stream'))) === 1);
    expect(await value(`dynamo_frontend_output_tokens_total${MODEL}`)).toBe(5);
    expect(await value(`dynamo_frontend_inter_token_latency_seconds_count${MODEL}`)).toBe(4);
    expect(await value(`dynamo_frontend_cached_tokens_sum${MODEL}`)).toBe(16);
  });

  test('that break off say so in their own form', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine], parts: { migrationLimit: 3 } });
    const body = { ...ASK, stream: true, behave: 'die in stream' };
    const text = await (await post(url, '/v1/responses', body)).text();
    expect(text).toMatch(/\nevent: error\ndata: [^\n]+\n\n$/);
    expect(eventsOf(text).at(-1)).toMatchObject({
      type: 'error',
      code: '502',
      message: expect.stringMatching(/ended its answer early/),
      error: { code: 502 },
    });
    await until(async () => (await value(total('responses', 'stream', 'internal'))) === 1);
  });

  test('are not split over prefill and decode workers', async () => {
    const engines = [await startEngine(), await startEngine()];
    const { url } = await startFrontend({ engines, roles: ['prefill', 'decode'] });
    expect((await post(url, '/v1/responses', ASK)).status).toBe(200);
    expect(engines.map((engine) => engine.seen.length)).toEqual([0, 1]);
  });

  test.each([false, true])('go on where the one before was given (stream: %s)', async (stream) => {
    const engines = [await startEngine(), await startEngine(), await startEngine()];
    const { url } = await startFrontend({ engines });
    for (const _ of engines) {
      const text = await (await post(url, '/v1/responses', { ...ASK, stream })).text();
      const home = engines.find(({ seen }) => seen.length > 0)!;
      const id = /"id":"(resp_[^"]+)"/.exec(text)![1];
      await post(url, '/v1/responses', { model: 'm', input: 'More', previous_response_id: id });
      expect(home.seen.pop()?.body.previous_response_id).toBe(id);
      for (const [method, path] of [
        ['GET', `/v1/responses/${id}?include=x`],
        ['DELETE', `/v1/responses/${id}`],
        ['POST', `/v1/responses/${id}/cancel`],
      ] as const) {
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(url + path, { method, headers });
        expect(await answer.json()).toEqual({ at: home.url, method, path });
      }
      home.seen.length = 0;
    }
  });

  test('that are not known are not found', async () => {
    const { url } = await startFrontend({ engines: [await startEngine()] });
    const answer = await fetch(`${url}/v1/responses/resp_1`);
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: { type: 'NotFoundError' } }]);
    const body = { ...ASK, previous_response_id: 'resp_1' };
    expect((await post(url, '/v1/responses', body)).status).toBe(200);
  });

  test('whose input is no messages go by load', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine] });
    const input = [{ type: 'item_reference', id: 'x' }];
    expect((await post(url, '/v1/responses', { model: 'm', input })).status).toBe(200);
    expect((await post(url, '/v1/responses', { ...CHAT })).status).toBe(400);
  });
});
