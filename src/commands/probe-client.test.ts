import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Workers } from '../../test/support/workers.ts';
import { fixedTiming } from '../engine/timing.ts';
import { EndpointEngine } from '../sla-profiler/endpoint-engine.ts';
import { steadySample } from '../sla-profiler/steady-sample.ts';
import { LoadProbeClient } from './probe-client.ts';

const workers = new Workers();
const clients: LoadProbeClient[] = [];
const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.stop()));
  for (const server of servers.splice(0)) server.close().closeAllConnections();
  await workers.stopAll();
});

function engineAt(url: string, role: 'prefill' | 'decode' = 'decode'): EndpointEngine {
  const client = new LoadProbeClient(undefined);
  clients.push(client);
  const signal = new AbortController().signal;
  return new EndpointEngine({ url, role, client, kvTokens: 8192, signal, stop: () => Promise.resolve() });
}

/** An OpenAI server of another make: no metrics, no usage, and answers of `tokens` tokens whatever is asked. */
async function plainServer(tokens: number, key?: string): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) {
      response.writeHead(401).end('{}');
      return;
    }
    if (!/^\/v1\/(models|completions)$/.test(request.url!)) {
      response.writeHead(404).end('{}');
      return;
    }
    if (request.method === 'GET') {
      const models = { object: 'list', data: [{ id: 'm', object: 'model', owned_by: 'acme' }] };
      response.end(JSON.stringify(models));
      return;
    }
    const chunk = { id: '1', object: 'text_completion', created: 1, model: 'm' };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    const timer = setInterval(() => {
      sent++;
      const choice = { index: 0, text: 'a', finish_reason: sent === tokens ? 'stop' : null };
      response.write(`data: ${JSON.stringify({ ...chunk, choices: [choice] })}\n\n`);
      if (sent < tokens) return;
      clearInterval(timer);
      response.end('data: [DONE]\n\n');
    }, 4);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('probes', () => {
  test('measure prompts that are new to an engine with a warm cache', async () => {
    // Only what is computed takes time: a cached prompt would be there in no time.
    const timing = {
      prefillMs: (_: number, input: number, prefix: number) => (input - prefix) / 8,
      decodeMs: () => 1,
    };
    const { url } = await workers.start({ engine: { timing } });
    const engine = engineAt(url, 'prefill');
    for (let run = 0; run < 3; run++) {
      const { ttftMs } = await engine.prefill({ islTokens: 400, seed: 7 });
      expect(ttftMs[0]).toBeGreaterThan(50);
    }
    await expect(
      (async () => {
        for (;;) await engine.prefill({ islTokens: 400, seed: 7 });
      })(),
    ).rejects.toThrow(/had the prompts of every tried seed in its cache/);
  });

  test('refuse a point whose requests never decoded together', async () => {
    const { url } = await workers.start({ engine: { maxNumSeqs: 3 } });
    const probe = { islTokens: 50, oslTokens: 20, concurrency: 8, seed: 1 };
    await expect(engineAt(url).decode(probe)).rejects.toThrow(
      /only [3-6] of 8 requests were decoding at the same time/,
    );
  });

  test('bring the key that an endpoint asks for, also at a URL that ends in /v1', async () => {
    const url = await plainServer(5, 'sk-1');
    const ttft = async (client: LoadProbeClient): Promise<number | undefined> => {
      clients.push(client);
      const batch = { url: `${url}/v1`, count: 1, islTokens: 20, oslTokens: 5, seed: 1 };
      const [answer] = await client.send(batch, new AbortController().signal);
      return answer!.chunkMs[0];
    };
    expect(await ttft(new LoadProbeClient(undefined, 'sk-1'))).toBeGreaterThan(0);
    await expect(ttft(new LoadProbeClient(undefined, 'sk-2'))).rejects.toThrow('/v1/models answered 401');
  });

  test('refuse answers that are shorter than asked for', async () => {
    const probe = { islTokens: 50, oslTokens: 20, concurrency: 2, seed: 1 };
    await expect(engineAt(await plainServer(7)).decode(probe)).rejects.toThrow(
      /20 tokens were asked for with ignore_eos and min_tokens, 7 came/,
    );
  });

  test('count one token a chunk of a server that tells no usage', async () => {
    const probe = { islTokens: 50, oslTokens: 20, concurrency: 2, seed: 1 };
    const { itlMs, tokensPerS, onTrust } = await engineAt(await plainServer(20)).decode(probe);
    expect(onTrust).toBe(true);
    expect(itlMs.length).toBe(2);
    for (const itl of itlMs) expect(itl).toBeGreaterThan(3.5);
    expect(tokensPerS).toBeLessThan(2 * (1000 / 3.5));
  });

  test('take latency and rate from the time when all decode', () => {
    const answer = (fromMs: number, stepMs: number, count: number) => ({
      sentMs: 0,
      chunkMs: Array.from({ length: count }, (_, i) => fromMs + i * stepMs),
      outputTokens: count,
      promptTokens: 8,
      cachedTokens: undefined,
      error: undefined,
    });
    // Together from 100 on, until 190; alone each is faster.
    const early = { ...answer(0, 5, 20), chunkMs: [...answer(0, 5, 20).chunkMs, 110, 120, 130, 190] };
    const sample = steadySample([{ ...early, outputTokens: 24 }, answer(100, 10, 11)]);
    expect(sample.itlMs[1]).toBeCloseTo(10);
    expect(sample.itlMs[0]).toBeCloseTo(80 / 3);
    expect(sample.tokensPerS).toBeCloseTo((1000 * (3 + 9)) / 90);
  });
});

describe('a load', () => {
  const requests = (everyMs: number) =>
    Array.from({ length: 20 }, (_, i) => ({ atMs: i * everyMs, islTokens: 60 + i, oslTokens: 10 }));

  test('on a prefill engine tells TTFT with the wait of what is due', async () => {
    const { url } = await workers.start({ engine: { timing: fixedTiming(20, 1), maxNumSeqs: 1 } });
    const [idle, busy] = [
      await engineAt(url, 'prefill').load(requests(40), 1),
      await engineAt(url, 'prefill').load(requests(5), 2),
    ];
    const last = (latencies: readonly (number | null)[]): number => latencies.at(-1)!;
    expect(idle.every((ttft) => ttft! > 19)).toBe(true);
    // 21 ms of service for each, one due every 5 ms.
    expect(last(busy)).toBeGreaterThan(19 * 15);
  });

  test('on a decode engine tells the mean gap of each answer', async () => {
    const { url } = await workers.start({ engine: { timing: fixedTiming(0, 6) } });
    const itl = await engineAt(url).load(requests(10), 1);
    expect(itl.length).toBe(20);
    // A busy machine may hold back the chunks of one or another answer and bring them at once.
    expect(itl.toSorted((a, b) => a! - b!)[10]).toBeGreaterThan(5);
  });

  test('fails when no request was answered', async () => {
    const { url } = await workers.start({ maxModelLen: 32 });
    await expect(engineAt(url, 'prefill').load(requests(1), 1)).rejects.toThrow(/HTTP 400/);
  });
});
