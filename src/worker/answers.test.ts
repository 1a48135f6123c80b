import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { tinyTokenizer } from '../../test/support/tiny-tokenizer.ts';
import {
  type Answer,
  BLOCK,
  complete,
  metric,
  PROMPT,
  post,
  stream,
  until,
  Workers,
} from '../../test/support/workers.ts';
import { fixedTiming } from '../engine/timing.ts';
import { readSnapshot } from '../formats/kv-events/snapshot.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import { LibraryTokenizer } from '../tokenizer/library-tokenizer.ts';
import type { ChatMessage } from '../tokenizer/tokenizer.ts';
import type { RunningWorker, WorkerOptions } from './start-worker.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/engine/openai-sse.json', import.meta.url), 'utf8'),
) as Record<string, unknown>;
const tokenizer = new ByteTokenizer();
const workers = new Workers();
const start = (options?: WorkerOptions): Promise<RunningWorker> => workers.start(options);
afterEach(() => workers.stopAll());

describe('an answer', () => {
  test('says the same streamed and whole, in readable text', async () => {
    const { url } = await start();
    const whole = await complete(url, { prompt: PROMPT, max_tokens: 60 });
    const [choice] = whole.body.choices;
    expect(choice.finish_reason).toBe('length');
    expect(choice.text).toMatch(/^[A-Z][a-z]{6} [a-z. A-Z]{52}$/);
    const events = await stream(url, '/v1/completions', { prompt: PROMPT, max_tokens: 60 });
    expect(events.at(-1)).toBe('[DONE]');
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    expect(chunks.map((chunk) => chunk.choices[0].text).join('')).toBe(choice.text);
    expect(chunks.every((chunk) => chunk.usage === undefined)).toBe(true);
  });

  test.each([
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }, 'chat_stream_include_usage'],
    ['/v1/completions', { prompt: 'Hi' }, 'completions_stream_include_usage'],
  ])('of %s has the chunks of vLLM', async (path, body, name) => {
    const { url } = await start();
    const options = { max_tokens: 2, stream_options: { include_usage: true } };
    const events = await stream(url, path, { ...body, ...options });
    const shape = (text: string): unknown =>
      text === '[DONE]' ? text : JSON.parse(text, (key, value) => (FREE.has(key) ? typeof value : value));
    const FREE = new Set(['id', 'created', 'model', 'content', 'text', 'finish_reason', 'usage']);
    const expected = (golden[name] as string[]).map(shape);
    expect(events.map(shape)).toEqual(
      expected.map((chunk) => JSON.parse(JSON.stringify(chunk).replaceAll('"stop"', '"length"'))),
    );
    expect(Object.keys(JSON.parse(events[0]!))).toEqual(
      Object.keys(JSON.parse((golden[name] as string[])[0]!)),
    );
  });

  test('tells its usage in every chunk when asked to', async () => {
    const { url } = await start();
    const body = { prompt: 'abc', max_tokens: 4 };
    const options = { stream_options: { include_usage: true, continuous_usage_stats: true } };
    const events = await stream(url, '/v1/completions', { ...body, ...options });
    const usages = events.slice(0, -1).map((event) => JSON.parse(event).usage);
    expect(usages.map(({ completion_tokens }) => completion_tokens)).toEqual([1, 2, 3, 4, 4]);
    expect(usages[0]).toEqual({ prompt_tokens: 3, total_tokens: 4, completion_tokens: 1 });
    expect(usages[4].prompt_tokens_details).toEqual({ cached_tokens: 0 });
  });

  test('has as many different choices as asked for, each prompt counted once', async () => {
    const { url } = await start();
    const { body } = await complete(url, { prompt: ['first', 'second!'], n: 3, max_tokens: 20 });
    expect(body.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(new Set(body.choices.map((choice: { text: string }) => choice.text)).size).toBe(6);
    expect(body.usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 120 });
    const events = await stream(url, '/v1/chat/completions', {
      messages: [{ role: 'user', content: 'Hi' }],
      n: 2,
      max_tokens: 3,
    });
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event).choices[0]);
    expect(chunks.filter((chunk) => chunk.delta.role === 'assistant').map((chunk) => chunk.index)).toEqual([
      0, 1,
    ]);
    expect(chunks.filter((chunk) => chunk.finish_reason === 'length')).toHaveLength(2);
  });

  test('ends by itself, after a sentence, when nobody bounds it', async () => {
    const { url } = await start({ meanAnswerTokens: 100 });
    const chat = { model: 'm', messages: [{ role: 'user', content: 'Talk' }] };
    const { body } = await post(url, '/v1/chat/completions', chat);
    const [choice] = body.choices;
    expect(choice.finish_reason).toBe('stop');
    expect(choice.message.content).toMatch(/\.$/);
    // The end-of-sequence token is generated too, and says nothing.
    expect(body.usage.completion_tokens).toBe(choice.message.content.length + 1);
    const longer = await post(url, '/v1/chat/completions', { ...chat, min_tokens: 400 });
    expect(longer.body.usage.completion_tokens).toBe(400);
    const endless = await start({ maxModelLen: 300 });
    const full = await post(endless.url, '/v1/chat/completions', { ...chat, ignore_eos: true });
    expect(full.body.usage.total_tokens).toBe(300);
    expect(full.body.choices[0].finish_reason).toBe('length');
  });

  test('ends at a stop string, wherever the chunks part, and gives its blocks back', async () => {
    const { url } = await start();
    const free = await complete(url, { prompt: PROMPT, max_tokens: 200 });
    const text: string = free.body.choices[0].text;
    const stop = text.slice(70, 77);
    const request = { prompt: PROMPT, max_tokens: 200, stop: ['§never§', stop] };
    const { body } = await complete(url, request);
    expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: stop });
    expect(body.choices[0].text).toBe(text.slice(0, text.indexOf(stop)));
    expect(body.usage.completion_tokens).toBe(text.indexOf(stop) + stop.length);
    const events = await stream(url, '/v1/completions', request);
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event).choices[0]);
    expect(chunks.map((chunk) => chunk.text).join('')).toBe(body.choices[0].text);
    expect(chunks).toHaveLength(body.usage.completion_tokens);
    expect(chunks.at(-1)).toMatchObject({ finish_reason: 'stop', stop_reason: stop });
    const kept = await complete(url, { ...request, include_stop_str_in_output: true });
    expect(kept.body.choices[0].text).toBe(body.choices[0].text + stop);
    const late = await complete(url, { ...request, min_tokens: text.indexOf(stop) + stop.length + 1 });
    expect(late.body.choices[0].text.startsWith(text.slice(0, 78))).toBe(true);
    await until(async () => (await metric(url, /^dynamo_component_gpu_cache_usage_percent/)) === 0);
  });

  test('takes token ids, gives the prompt back when told to echo, and keeps the id of the request', async () => {
    const { url } = await start();
    const ids = [...tokenizer.encode('abc')];
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'req-7' },
      body: JSON.stringify({ model: 'm', prompt: ids, max_tokens: 5, echo: true }),
    });
    const body = (await response.json()) as { id: string; choices: { text: string }[] };
    expect(body.id).toBe('cmpl-req-7');
    expect(body.choices[0]?.text).toMatch(/^abc[A-Z][a-z]{4}$/);
  });
});

describe('the cache', () => {
  test('is told exactly: full blocks of an earlier prompt, but never its last token', async () => {
    const { url } = await start();
    const prompt = PROMPT.slice(0, 4 * BLOCK);
    const cached = async (text: string): Promise<number> =>
      (await complete(url, { prompt: text, max_tokens: 1 })).body.usage.prompt_tokens_details.cached_tokens;
    expect(await cached(prompt)).toBe(0);
    expect(await cached(prompt)).toBe(3 * BLOCK);
    expect(await cached(`${prompt}x`)).toBe(4 * BLOCK);
    expect(await cached(`${prompt.slice(0, 2 * BLOCK)}${'z'.repeat(40)}`)).toBe(2 * BLOCK);
    expect(await cached(`y${prompt}`)).toBe(0);
  });

  test('holds the answer for the next turn of a chat', async () => {
    const { url } = await start();
    const first = [{ role: 'user', content: PROMPT }];
    const turn = await post(url, '/v1/chat/completions', { model: 'm', messages: first, max_tokens: 99 });
    const { content } = turn.body.choices[0].message;
    const second = [...first, { role: 'assistant', content }, { role: 'user', content: 'Go on.' }];
    const next = await post(url, '/v1/chat/completions', { model: 'm', messages: second, max_tokens: 1 });
    // All tokens of the first turn but the dangling last one are in the cache, in full blocks.
    const held = Math.floor((turn.body.usage.total_tokens - 1) / BLOCK) * BLOCK;
    expect(held).toBeGreaterThan(turn.body.usage.prompt_tokens);
    expect(next.body.usage.prompt_tokens_details.cached_tokens).toBe(held);
  });

  test('works the same with the tokenizer of a model', async () => {
    const template =
      '{% for m in messages %}<s>{{ m.role }} {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<s>assistant {% endif %}';
    const config = { bos_token: '<s>', eos_token: '</s>', chat_template: template };
    const model = new LibraryTokenizer({ tokenizer: tinyTokenizer(), config });
    const { url } = await start({ tokenizer: model, tokenizerName: '/models/tiny', meanAnswerTokens: 200 });
    const ask = (messages: object[], options: object = {}): Promise<Answer> =>
      post(url, '/v1/chat/completions', { model: 'm', messages, ...options });
    const first = [{ role: 'user', content: PROMPT }];
    const { body } = await ask(first);
    const { content } = body.choices[0].message;
    expect(body.usage.prompt_tokens).toBe(model.encodeChat(first as ChatMessage[]).length);
    expect(body.choices[0].finish_reason).toBe('stop');
    expect(content).toMatch(/^[A-Z][a-z]{6} [a-zA-Z. ]+$/);
    const second = [...first, { role: 'assistant', content }, { role: 'user', content: 'More.' }];
    const next = await ask(second, { max_tokens: 9 });
    const held = Math.floor((body.usage.total_tokens - 1) / BLOCK) * BLOCK;
    expect(next.body.usage).toMatchObject({
      completion_tokens: 9,
      prompt_tokens_details: { cached_tokens: held },
    });
  });

  test('is kept apart by salts', async () => {
    const { url } = await start();
    const ask = async (cache_salt?: string): Promise<number> =>
      (await complete(url, { prompt: PROMPT, max_tokens: 1, cache_salt })).body.usage.prompt_tokens_details
        .cached_tokens;
    expect([await ask('a'), await ask('b'), await ask(), await ask('a')]).toEqual([0, 0, 0, 80]);
    const [rank] = readSnapshot(await (await fetch(`${url}/kv/snapshot`)).json(), url);
    const salts = rank!.events.map((event) => (event.kind === 'stored' ? event.cacheSalt : ''));
    expect(salts.sort()).toEqual(['a', 'b', undefined]);
  });
});

describe('a client that leaves', () => {
  test.each([true, false])('frees the blocks of its request (streamed: %s)', async (streamed) => {
    const { url } = await start({ engine: { timing: fixedTiming(1, 5) } });
    const leave = new AbortController();
    const body = { model: 'm', prompt: PROMPT, max_tokens: 5000, stream: streamed, n: 2 };
    const response = fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leave.signal,
    });
    const left = streamed ? (await response).text() : response;
    await until(async () => (await metric(url, /^vllm:num_requests_running/)) === 2);
    expect(await metric(url, /^dynamo_component_kvstats_active_blocks/)).toBeGreaterThan(0);
    leave.abort();
    await expect(left).rejects.toThrow();
    await until(async () => (await metric(url, /^dynamo_component_inflight_requests/)) === 0);
    expect(await (await fetch(`${url}/load`)).json()).toEqual({ server_load: 0 });
    expect(await metric(url, /^dynamo_component_cancellation_total/)).toBe(1);
    expect(await metric(url, /^dynamo_component_errors_total.*publish_response/)).toBe(1);
    expect(await metric(url, /^vllm:request_success_total.*abort/)).toBe(2);
    expect(await metric(url, /^dynamo_component_kvstats_active_blocks/)).toBe(0);
    expect(await metric(url, /^vllm:num_requests_running/)).toBe(0);
  });
});

describe('a request that cannot be served', () => {
  test.each([
    [{ model: 'other', prompt: 'x' }, 404, /^The model `other` does not exist\. Served models: m\.$/],
    [
      { prompt: 'x', max_tokens: 600 },
      400,
      /maximum context length is 512 tokens, but 601 were requested \(1 in/,
    ],
    [{ prompt: 'x'.repeat(512) }, 400, /maximum context length is 512 tokens, but 513/],
    [{ prompt: 'x', max_tokens: 3, min_tokens: 4 }, 400, /min_tokens: 4 is above max_tokens \(3\)/],
    [{ prompt: 'x', nvext: { dp_rank: 1 } }, 400, /data-parallel rank 1 does not exist\. Ranks are 0 to 0\./],
    [{ prompt: 'x', max_tokens: 'many' }, 400, /^Validation: max_tokens: /],
    [
      { prompt: ['x', 'y'], n: 128, max_tokens: 1, stop: Array(65).fill('a') },
      400,
      /65 stop strings exceed 64/,
    ],
    [
      { prompt: Array(9).fill('x'), n: 100, max_tokens: 5000 },
      400,
      /n: 4500000 tokens of all answers together/,
    ],
    [{ prompt: '' }, 400, /^Validation: prompt: it has no tokens/],
  ])('is refused with the reason: %j', async (body, status, message) => {
    const { url } = await start({ engine: { numGpuBlocks: Array.isArray(body.prompt) ? 512 : 32 } });
    for (const streamed of [false, true]) {
      const answer = await complete(url, { stream: streamed, ...body });
      expect(answer.status).toBe(status);
      expect(answer.body.error).toMatchObject({ code: status, message: expect.stringMatching(message) });
    }
    expect(await metric(url, /^dynamo_component_requests_total/)).toBe(2);
  });

  test('that would never fit the blocks is rejected before its stream begins', async () => {
    const { url } = await start({ maxModelLen: 1000, engine: { numGpuBlocks: 4 } });
    for (const streamed of [false, true]) {
      const answer = await complete(url, { prompt: 'x'.repeat(60), max_tokens: 5, stream: streamed });
      expect(answer.status).toBe(400);
      expect(answer.body.error.message).toBe(
        'request rejected: request exceeds worker admission limits. Send a shorter prompt or give the engine more KV blocks.',
      );
    }
    const fits = await complete(url, { prompt: 'x'.repeat(60), max_tokens: 4 });
    expect(fits.body.usage.completion_tokens).toBe(4);
    expect(await metric(url, /^dynamo_component_errors_total.*generate/)).toBe(2);
  });

  test('is refused when too many are in flight', async () => {
    const { url } = await start({ maxRequests: 1, engine: { timing: fixedTiming(1, 20) } });
    const leave = new AbortController();
    const first = post(
      url,
      '/v1/completions',
      { model: 'm', prompt: 'a', max_tokens: 5000 },
      { signal: leave.signal },
    );
    await until(async () => (await metric(url, /^vllm:num_requests_running/)) === 1);
    const second = await complete(url, { prompt: 'b', max_tokens: 1 });
    expect(second.status).toBe(503);
    expect(second.body.error.message).toBe(
      'the engine has 1 requests in flight already. Retry later, or raise --max-requests.',
    );
    leave.abort();
    await expect(first).rejects.toThrow();
    await until(async () => (await complete(url, { prompt: 'b', max_tokens: 1 })).status === 200);
  });
});
