import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { complete, metric, post, stream, until, Workers } from '../../test/support/workers.ts';
import { fixedTiming } from '../engine/timing.ts';
import { readModelList } from '../formats/openai/model-card.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import { freePort } from '../transport/free-port.ts';
import type { RunningWorker, WorkerOptions } from './start-worker.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/engine/openai-sse.json', import.meta.url), 'utf8'),
) as Record<string, unknown>;
const tokenizer = new ByteTokenizer();
const workers = new Workers();
const start = (options?: WorkerOptions): Promise<RunningWorker> => workers.start(options);
afterEach(() => workers.stopAll());

describe('the engine besides generation', () => {
  test('says what it is, for discovery', async () => {
    const worker = await start({ kvEvents: 'tcp://127.0.0.1:0', engine: { dpSize: 2 } });
    const [card] = readModelList(await (await fetch(`${worker.url}/v1/models`)).json());
    expect(card).toEqual({
      id: 'm',
      ownedBy: 'kvasir',
      contextLength: 8192,
      parent: undefined,
      engine: {
        blockSize: 16,
        dpSize: 2,
        role: 'both',
        kvEvents: worker.kvEvents,
        snapshot: '/kv/snapshot',
        totalKvBlocks: 512,
        maxNumSeqs: 256,
        maxNumBatchedTokens: 8192,
        tokenizer: 'byte',
      },
    });
  });

  test('tokenises as it does for itself', async () => {
    const { url } = await start();
    const plain = await post(url, '/tokenize', { prompt: 'Hé', return_token_strs: true });
    expect(plain.body).toEqual({
      count: 3,
      max_model_len: 8192,
      tokens: [72, 195, 169],
      token_strs: ['H', '\ufffd', '\ufffd'],
    });
    const messages = [{ role: 'user', content: 'Hi' }];
    const chat = await post(url, '/tokenize', { messages });
    expect(chat.body.tokens).toEqual([...tokenizer.encodeChat(messages)]);
    expect((await post(url, '/detokenize', { tokens: plain.body.tokens })).body).toEqual({ prompt: 'Hé' });
    expect((await post(url, '/detokenize', { tokens: ['x'] })).status).toBe(400);
  });

  test('is alive but not ready while its model loads, on both ports', async () => {
    const options = { startupMs: 1000, systemPort: 0, httpPort: await freePort(), engine: {} };
    const url = `http://127.0.0.1:${options.httpPort}`;
    const starting = start(options);
    await until(async () => (await fetch(`${url}/live`).catch(() => undefined))?.status === 200);
    expect((await fetch(`${url}/health`)).status).toBe(503);
    const early = await complete(url, { prompt: 'x' });
    expect([early.status, early.body.error.message]).toEqual([
      503,
      'the engine of model m is not ready yet. Wait until /health answers 200.',
    ]);
    const { systemUrl } = await starting;
    expect((await fetch(`${url}/health`)).status).toBe(200);
    const health = await fetch(`${systemUrl}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toEqual({
      status: 'ready',
      uptime: { secs: expect.any(Number), nanos: expect.any(Number) },
      endpoints: { generate: 'ready' },
    });
    expect((await fetch(`${systemUrl}/live`)).status).toBe(200);
    expect((await fetch(`${systemUrl}/nothing`)).status).toBe(404);
    expect(await metric(systemUrl!, /^dynamo_component_model_load_time_seconds/)).toBeGreaterThan(0.99);
  });

  test('finishes what it has when told to stop, and refuses more', async () => {
    const worker = await start({ engine: { timing: fixedTiming(1, 5) } });
    const answer = complete(worker.url, { prompt: 'x', max_tokens: 60 });
    await until(async () => (await metric(worker.url, /^vllm:num_requests_running/)) === 1);
    const stopped = worker.stop(10_000);
    expect((await answer).body.usage.completion_tokens).toBe(60);
    await stopped;
    await expect(fetch(`${worker.url}/health`)).rejects.toThrow();
  });

  test('breaks off what outlives the grace time with an error in the stream', async () => {
    const worker = await start({ engine: { timing: fixedTiming(1, 20) } });
    const events = stream(worker.url, '/v1/completions', { prompt: 'x', max_tokens: 1000 });
    await until(async () => (await metric(worker.url, /^vllm:generation_tokens_total/))! > 2);
    await worker.stop(20);
    const last = (await events).slice(-2);
    expect(last[1]).toBe('[DONE]');
    const expected = JSON.parse((golden.error_mid_stream as string[])[0]!) as { error: object };
    expect(Object.keys(JSON.parse(last[0]!).error)).toEqual(Object.keys(expected.error));
    expect(JSON.parse(last[0]!).error).toMatchObject({ type: 'ServiceUnavailableError', code: 503 });
  });
});
