import { afterEach, describe, expect, test } from 'vitest';
import { SILENT_LOG } from '../base/log.ts';
import { bareInstance } from '../transport/discovery.ts';
import { HttpClient } from '../transport/http-client.ts';
import { HttpServer } from '../transport/http-server.ts';
import { PromptEncoders } from './prompt-encoders.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

type Tokenize = (body: { prompt?: string; messages?: unknown }) => object | undefined;

/** The encoder for an engine with this `/tokenize`; undefined is a refusal. */
async function encoderOf(tokenize: Tokenize | undefined) {
  const server = new HttpServer({ host: '127.0.0.1', port: 0, portFlag: '--http-port', log: SILENT_LOG });
  if (tokenize !== undefined)
    server.app.post('/tokenize', async (request, reply) => {
      const answer = tokenize(request.body as { prompt?: string });
      return answer ?? reply.code(400).send({ error: { message: 'prompt: Field required', code: 400 } });
    });
  await server.start();
  const client = new HttpClient();
  const encoders = new PromptEncoders(client, SILENT_LOG, undefined);
  cleanups.push(
    () => client.stop(),
    () => server.stop(0),
    () => encoders.stop(),
  );
  const instance = { ...bareInstance('1', server.url), kind: 'sglang' as const, models: ['m'] };
  return encoders.encoderFor(instance, () => [instance]);
}

const CHAT = [[{ role: 'user', content: 'Hi' }], {}] as const;

describe('prompts of an engine that names no tokenizer', () => {
  test('are tokenised by it, texts and chats', async () => {
    const encoder = await encoderOf(({ prompt }) => ({ tokens: prompt === undefined ? [1, 2] : [3] }));
    expect(encoder.exact).toBe(true);
    expect(await encoder.encode('a')).toEqual(Uint32Array.of(3));
    expect(await encoder.encodeChat(...CHAT)).toEqual(Uint32Array.of(1, 2));
  });

  test('are told apart where it takes texts only, instead of refused', async () => {
    const encoder = await encoderOf(({ prompt }) => (prompt === undefined ? undefined : { tokens: [3] }));
    expect(encoder.exact).toBe(false);
    expect(await encoder.encode('a')).toEqual(Uint32Array.of(3));
    expect((await encoder.encodeChat(...CHAT)).length).toBeGreaterThan(2);
  });

  test('are told apart where it understands no question, as llama.cpp', async () => {
    const encoder = await encoderOf(() => ({ tokens: [] }));
    expect(encoder.exact).toBe(false);
    expect((await encoder.encode('a')).length).toBe(1);
    expect((await encoder.encodeChat(...CHAT)).length).toBeGreaterThan(2);
  });

  test('are told apart where it tokenises nothing, as TensorRT-LLM', async () => {
    const encoder = await encoderOf(undefined);
    expect(encoder.exact).toBe(false);
    expect((await encoder.encodeChat(...CHAT)).length).toBeGreaterThan(2);
  });
});
