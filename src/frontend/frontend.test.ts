import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  JSON_TYPE,
  payloads,
  post,
  requestsTotal,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';
import { until } from '../../test/support/until.ts';

cleanUp();

describe('the frontend', () => {
  test('relays a stream, asks for usage and keeps it from a client who did not', async () => {
    const engine = await startEngine();
    const { url, value, routers } = await startFrontend({ engines: [engine] });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-kvasir-worker-id')).toBe('1');
    const events = payloads(await response.text());
    expect(events.at(-1)).toBe('[DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    expect(chunks.map((chunk) => chunk.choices[0].delta.content)).toEqual([
      '',
      'w0 ',
      'w1 ',
      'w2 ',
      'w3 ',
      'w4 ',
    ]);
    expect(engine.seen[0]?.body.stream_options).toEqual({ include_usage: true });
    await until(async () => (await value(requestsTotal(true))) === 1);
    const model = '{model="m"}';
    expect(await value(`dynamo_frontend_output_tokens_total${model}`)).toBe(5);
    expect(await value(`dynamo_frontend_time_to_first_token_seconds_count${model}`)).toBe(1);
    expect(await value(`dynamo_frontend_inter_token_latency_seconds_count${model}`)).toBe(4);
    expect(await value(`dynamo_frontend_output_sequence_tokens_sum${model}`)).toBe(5);
    expect(await value(`dynamo_frontend_cached_tokens_sum${model}`)).toBe(16);
    expect(await value(`dynamo_frontend_input_sequence_tokens_sum${model}`)).toBe(18);
    expect(await value(`dynamo_frontend_inflight_requests${model}`)).toBe(0);
    expect(await value(`dynamo_frontend_queued_requests${model}`)).toBe(0);
    expect(await value('dynamo_router_overhead_total_ms_count{router_id="7"}')).toBe(1);
    expect(routers[0]?.decisions.find(0)).toMatchObject({ isl: 18, actualCachedTokens: 16 });
    expect(routers[0]?.loads()).toMatchObject([{ activeRequests: 0, activeDecodeBlocks: 0 }]);
  });

  test('gives usage to a client who asks for it, and sends its bytes on unchanged', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine] });
    const body = `{"model":"m","seed":12345678901234567890,"stream":true,"stream_options":{"include_usage":true},"prompt":"é"}`;
    const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers: JSON_TYPE, body });
    const events = payloads(await response.text());
    expect(JSON.parse(events.at(-2) ?? '').usage.completion_tokens).toBe(5);
    expect(engine.seen[0]?.text).toBe(body);
    const plain = `{"model":"m","seed":12345678901234567890,"stream":true,"prompt":[1,2]}  \n`;
    await (await fetch(`${url}/v1/completions`, { method: 'POST', headers: JSON_TYPE, body: plain })).text();
    expect(engine.seen[1]?.text).toBe(
      '{"model":"m","seed":12345678901234567890,"stream":true,"prompt":[1,2],"stream_options":{"include_usage":true}}',
    );
  });

  test('answers without a stream, the engine’s body untouched', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine] });
    const response = await post(url, '/v1/chat/completions', CHAT);
    expect(await response.json()).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { role: 'assistant', content: 'w0 w1 w2 w3 w4 ' }, finish_reason: 'length' }],
      usage: { prompt_tokens: 40, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 16 } },
    });
    await until(async () => (await value(requestsTotal(false))) === 1);
    expect(await value('dynamo_frontend_output_tokens_total{model="m"}')).toBe(5);
    expect(await value('dynamo_frontend_time_to_first_token_seconds_count{model="m"}')).toBe(1);
    expect(await value('dynamo_frontend_inter_token_latency_seconds_count{model="m"}')).toBe(0);
  });

  test.each([
    ['/v1/chat/completions', { model: 'm' }, 400, 'messages', /^Validation: messages: /],
    ['/v1/chat/completions', { ...CHAT, max_tokens: -1 }, 400, 'max_tokens', /^Validation: max_tokens: /],
    [
      '/v1/chat/completions',
      { ...CHAT, model: 'x' },
      404,
      'model',
      /^The model `x` does not exist\. Served models: m\.$/,
    ],
    [
      '/v1/chat/completions',
      { ...CHAT, max_tokens: 183 },
      400,
      'messages',
      /maximum context length is 200 tokens, but 201 were requested \(18 in the prompt, 183 to generate\)/,
    ],
    [
      '/v1/completions',
      { model: 'm', prompt: 'x'.repeat(200) },
      400,
      'prompt',
      /but 201 were requested \(200 in/,
    ],
    ['/v1/completions', { model: 'm', prompt: '' }, 400, 'prompt', /^Validation: prompt: is empty/],
    ['/v1/completions', { model: 'm', prompt: 'x', behave: 'refuse 400' }, 400, 'seed', /^bad "seed"$/],
    [
      '/v1/completions',
      { model: 'm', prompt: 'x', behave: 'plain 500' },
      500,
      null,
      /^Internal Server Error$/,
    ],
    ['/v1/completions', { model: 'm', prompt: 'x', behave: 'die at once' }, 503, null, /cannot be reached/],
    [
      '/v1/completions',
      { model: 'm', prompt: 'x', stream: true, behave: 'refuse 503' },
      503,
      null,
      /engine is dead/,
    ],
  ] as const)('refuses %s %j in the OpenAI shape', async (path, body, status, param, message) => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine] });
    const response = await post(url, path, body);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect({ status: response.status, ...error }).toMatchObject({
      status,
      param,
      code: status,
      message: expect.stringMatching(message),
    });
    await until(async () => (await value('dynamo_frontend_inflight_requests{model="m"}')) === 0);
  });

  test('counts every outcome under its error type', async () => {
    const engine = await startEngine();
    const { url, value } = await startFrontend({ engines: [engine] });
    await post(url, '/v1/chat/completions', { ...CHAT, max_tokens: 0 });
    await post(url, '/v1/chat/completions', { ...CHAT, max_tokens: 500 });
    await post(url, '/v1/chat/completions', { ...CHAT, behave: 'refuse 400' });
    await post(url, '/v1/chat/completions', { ...CHAT, behave: 'plain 500' });
    await post(url, '/v1/chat/completions', { ...CHAT, behave: 'refuse 503' });
    await post(url, '/v1/chat/completions', { ...CHAT, model: 'x' });
    await post(url, '/v1/chat/completions', CHAT);
    expect(await value(requestsTotal(false, 'validation'))).toBe(2);
    expect(await value(requestsTotal(false, 'internal'))).toBe(2);
    expect(await value(requestsTotal(false, 'unavailable'))).toBe(1);
    expect(await value(requestsTotal(false, 'not_found').replace('model="m"', 'model="unknown_model"'))).toBe(
      1,
    );
    await until(async () => (await value(requestsTotal(false))) === 1);
  });

  test('carries a long answer whole', async () => {
    const engine = await startEngine();
    const { url } = await startFrontend({ engines: [engine], facts: { contextLength: undefined } });
    const max_tokens = 60_000;
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens });
    const text = await response.text();
    expect(payloads(text)).toHaveLength(max_tokens + 2);
  });
});
