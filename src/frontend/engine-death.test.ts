import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  payloads,
  post,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';

cleanUp();

const DEAD = 'EngineCore encountered an issue. See stack trace (above) for the root cause.';
const error = (fields: object): string => JSON.stringify({ error: fields });
const bad = { type: 'BadRequestError', param: null, code: 400 };
const TOO_LONG = error({ message: 'maximum context length', ...bad });
const WHOLE = ['w0 ', 'w1 ', 'w0 ', 'w1 ', 'w2 '];

/** Two engines, of which the first to be asked fails as told. */
async function startPair(migrationLimit = 1) {
  const engines = [await startEngine(), await startEngine()];
  const setup = await startFrontend({
    engines,
    facts: { kind: 'vllm' },
    parts: { migrationLimit },
    router: { mode: 'round-robin' },
  });
  return { ...setup, first: engines[0]!, second: engines[1]!, engines };
}

/** Sends until the first engine has been asked; gives that answer. */
async function ask(url: string, seen: readonly unknown[], body: object): Promise<Response> {
  for (;;) {
    const response = await post(url, '/v1/chat/completions', body);
    if (seen.length > 0) return response;
    await response.text();
  }
}

const texts = (events: readonly string[]): string[] =>
  events
    .filter((event) => event.startsWith('{"id'))
    .map((event) => JSON.parse(event).choices[0]?.delta.content as string | undefined)
    .filter((text) => text !== undefined && text !== '') as string[];

describe('an engine that dies', () => {
  test.each([
    ['vLLM 0.32', error({ message: DEAD, type: 'InternalServerError', param: null, code: 500 })],
    ['vLLM 0.9 to 0.13', error({ message: DEAD, ...bad })],
    ['vLLM 0.8', error({ object: 'error', message: 'Engine loop is not running. Inspect …', ...bad })],
    ['vLLM without words', error({ message: '', ...bad })],
    ['a type alone', error({ message: 'gone', type: 'EngineDeadError' })],
    ['SGLang', error({ object: 'error', message: 'killed', type: 'SERVICE_UNAVAILABLE', code: 503 })],
    ['an abort', '{"id":"1","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"abort"}]}'],
  ])('in the middle of a stream, in the words of %s, is followed by another unseen', async (_, data) => {
    const { url, first, value } = await startPair();
    first.lastWords = { data, afterTokens: 2 };
    const response = await ask(url, first.seen, { ...CHAT, stream: true, max_tokens: 5 });
    const events = payloads(await response.text());
    expect(texts(events)).toEqual(WHOLE);
    expect(events.at(-1)).toBe('[DONE]');
    expect(
      await value('dynamo_frontend_model_migration_total{migration_type="ongoing_request",model="m"}'),
    ).toBe(1);
  });

  test('while it puts several tokens into a chunk has told how many there are, also of what it still held back', async () => {
    const { url, first, engines } = await startPair();
    for (const engine of engines) engine.tokensPerChunk = 2;
    first.lastWords = { data: error({ message: DEAD, ...bad }), afterTokens: 4 };
    const stream_options = { include_usage: true };
    const response = await ask(url, first.seen, { ...CHAT, stream: true, max_tokens: 7, stream_options });
    const events = payloads(await response.text());
    expect(texts(events)).toEqual(['w0 w1 ', 'w2 w3 ', 'w0 w1 ', 'w2 ']);
    const usages = events
      .filter((event) => event.includes('"usage"'))
      .map((event) => JSON.parse(event).usage);
    expect(usages).toMatchObject([{ prompt_tokens: 40, completion_tokens: 7, total_tokens: 47 }]);
  });

  test('having listed its tokens, is followed by one that goes on from these, a chat too', async () => {
    const { url, first, second, engines } = await startPair();
    for (const engine of engines) engine.listsTokens = true;
    first.lastWords = { data: error({ message: DEAD, ...bad }), afterTokens: 2 };
    const chat = { ...CHAT, stream: true, max_tokens: 4, temperature: 0.5 };
    const before = second.seen.length;
    const response = await ask(url, first.seen, chat);
    const text = await response.text();
    const events = payloads(text);
    expect(texts(events)).toEqual(['w0 ', 'w1 ', 'w0 ', 'w1 ']);
    expect(text).not.toMatch(/"token_ids":\[|prompt_token_ids":\[|"usage"/);
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    expect(new Set(chunks.map(({ object }) => object))).toEqual(new Set(['chat.completion.chunk']));
    expect(chunks.at(-1).choices).toMatchObject([
      { index: 0, delta: { content: 'w1 ' }, finish_reason: 'length' },
    ]);
    const rest = second.seen.slice(before).at(-1);
    expect(rest?.path).toBe('/v1/completions');
    const prompt = [7, 8, 9, 1000, 1001];
    expect(rest?.body).toMatchObject({ prompt, max_tokens: 2, temperature: 0.5 });
    expect(rest?.body).not.toHaveProperty('messages');
  });

  test('and does not say so is asked for its health', async () => {
    const { url, first, second } = await startPair();
    const words = { data: error({ message: 'list index out of range', ...bad }), afterTokens: 2 };
    first.lastWords = words;
    first.healthStatus = 503;
    const moved = await ask(url, first.seen, { ...CHAT, stream: true, max_tokens: 5 });
    expect(texts(payloads(await moved.text()))).toEqual(WHOLE);
    second.lastWords = words;
    second.seen.length = 0;
    const kept = await ask(url, second.seen, { ...CHAT, stream: true, max_tokens: 5 });
    expect(payloads(await kept.text()).slice(-2)).toEqual([words.data, '[DONE]']);
  });

  test('before anything was sent leaves the request to another, also one that cannot be gone on with', async () => {
    const { url, first } = await startPair(0);
    first.lastWords = { data: error({ message: DEAD, ...bad }), afterTokens: 0 };
    const tools = [{ type: 'function', function: { name: 'f' } }];
    const response = await ask(url, first.seen, { ...CHAT, stream: true, tools, max_tokens: 2 });
    expect(texts(payloads(await response.text()))).toEqual(['w0 ', 'w1 ']);
    const alone = await startFrontend({ engines: [first], parts: { retryLimit: 0 } });
    first.lastWords = { data: error({ message: DEAD, ...bad }), afterTokens: 0 };
    const told = await post(alone.url, '/v1/chat/completions', { ...CHAT, stream: true });
    expect(payloads(await told.text())).toEqual([error({ message: DEAD, ...bad }), '[DONE]']);
  });

  test.each([
    ['vLLM', 500, error({ message: DEAD, type: 'InternalServerError', param: null, code: 500 })],
    ['vLLM up to 0.12', 500, ''],
    ['TensorRT-LLM', 400, JSON.stringify({ object: 'error', message: 'LLM is shutting down', ...bad })],
    ['an abort', 200, '{"choices":[{"index":0,"message":{"content":"half"},"finish_reason":"abort"}]}'],
  ])('in place of an answer, as %s does, leaves the request to another', async (_, status, body) => {
    const { url, first } = await startPair(0);
    first.refusal = { status, body };
    const response = await ask(url, first.seen, CHAT);
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('w0 w1 w2');
  });

  test('is not to be confused with one that refuses a request', async () => {
    const { url, first, second, engines } = await startPair();
    first.lastWords = { data: TOO_LONG, afterTokens: 0 };
    const streamed = await ask(url, first.seen, { ...CHAT, stream: true });
    expect(payloads(await streamed.text())).toEqual([TOO_LONG, '[DONE]']);
    const refusal = { status: 500, body: error({ message: 'cannot do that', type: 'InternalServerError' }) };
    for (const engine of engines) engine.refusal = refusal;
    const before = first.seen.length + second.seen.length;
    const answered = await post(url, '/v1/chat/completions', CHAT);
    expect(answered.status).toBe(500);
    expect(await answered.text()).toBe(refusal.body);
    expect(first.seen.length + second.seen.length).toBe(before + 1);
  });
});
