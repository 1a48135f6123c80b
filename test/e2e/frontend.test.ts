import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { OpenAiEngine } from '../support/openai-engine.ts';
import { tinyTokenizer } from '../support/tiny-tokenizer.ts';
import { metric, until } from '../support/workers.ts';

const FREE = 'tcp://127.0.0.1:0';
const MODEL = 'kvasir-sim';
const started: KvasirProcess[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((kvasir) => kvasir.kill()));
});

function run(args: readonly string[]): KvasirProcess {
  const kvasir = new KvasirProcess(args);
  started.push(kvasir);
  return kvasir;
}

interface Served {
  readonly process: KvasirProcess;
  readonly url: string;
  readonly systemUrl: string;
}

async function serve(args: readonly string[]): Promise<Served> {
  const process = run(args);
  const { url, systemUrl } = await process.json();
  return { process, url: String(url), systemUrl: String(systemUrl) };
}

function startWorkers(count: number, args: readonly string[] = []): Promise<Served[]> {
  const flags = ['--http-port', '0', '--system-port', '0', '--kv-events', FREE, '--replay', FREE];
  return Promise.all(Array.from({ length: count }, () => serve(['worker', ...flags, ...args])));
}

async function startFrontend(workers: readonly Served[], args: readonly string[] = []): Promise<Served> {
  const engines = workers.flatMap(({ url }) => ['--engine', url]);
  const frontend = await serve(['frontend', '--http-port', '0', ...engines, ...args]);
  await until(async () => (await instances(frontend.url)).length === workers.length);
  return frontend;
}

async function instances(url: string): Promise<object[]> {
  const body = (await (await fetch(`${url}/health`)).json()) as { instances?: object[] };
  return body.instances ?? [];
}

function clientOf({ url }: Served): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

const essay = (topic: string): string => `Tell me what ${topic} has to do with caches. `.repeat(40);
const chat = (content: string) => ({
  model: MODEL,
  messages: [{ role: 'user', content } as const],
  max_tokens: 30,
});

describe('kvasir frontend', () => {
  test('serves the official client of OpenAI, and sends what is cached where it is', async () => {
    // Idle workers cost the same, and ties are drawn: unseeded, one fleet in 27 sends all four topics to one worker.
    const frontend = await startFrontend(await startWorkers(3, ['--speedup', '10']), ['--router-seed', '1']);
    const client = clientOf(frontend);
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
    const topics = ['weather', 'music', 'bread', 'rivers'];
    const homes = new Map<string, string | null>();
    for (const topic of topics) {
      const { data, response } = await client.chat.completions.create(chat(essay(topic))).withResponse();
      expect(data.choices[0]?.message.content?.length).toBeGreaterThan(0);
      expect(data.usage).toMatchObject({
        completion_tokens: 30,
        prompt_tokens_details: { cached_tokens: 0 },
      });
      homes.set(topic, response.headers.get('x-kvasir-worker-id'));
    }
    expect(new Set(homes.values()).size).toBeGreaterThan(1);
    for (const topic of topics) {
      const request = {
        ...chat(essay(topic)),
        stream: true,
        stream_options: { include_usage: true },
      } as const;
      const { data, response } = await client.chat.completions.create(request).withResponse();
      let text = '';
      let usage: OpenAI.CompletionUsage | null | undefined;
      for await (const chunk of data) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
      }
      expect(text.length).toBeGreaterThan(0);
      expect(usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(1500);
      expect(response.headers.get('x-kvasir-worker-id')).toBe(homes.get(topic));
    }
    await expect(client.chat.completions.create({ ...chat('x'), model: 'x' })).rejects.toThrow(
      OpenAI.NotFoundError,
    );
    await expect(client.completions.create({ model: MODEL, prompt: '' })).rejects.toThrow(
      OpenAI.BadRequestError,
    );
    const explained = (await (await fetch(`${frontend.url}/debug/decisions?limit=1`)).json()) as {
      decisions: { predictedCachedTokens: number; actualCachedTokens: number }[];
    };
    const [last] = explained.decisions;
    expect(last?.predictedCachedTokens).toBe(last?.actualCachedTokens);
  });

  test('tokenises as the model does, long prompts beside the event loop', async () => {
    const engine = await new OpenAiEngine().start();
    const folder = await mkdtemp(join(tmpdir(), 'kvasir-tokenizer-'));
    try {
      await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tinyTokenizer()));
      const args = ['--engine', `${engine.url},model=m,kind=openai`, '--tokenizer', folder];
      const frontend = await serve(['frontend', '--http-port', '0', ...args]);
      await until(async () => (await instances(frontend.url)).length === 1);
      const client = clientOf(frontend);
      await client.completions.create({ model: 'm', prompt: 'ab'.repeat(50) });
      await client.completions.create({ model: 'm', prompt: 'ab'.repeat(5000) });
      expect(await metric(frontend.url, /^dynamo_frontend_input_sequence_tokens_sum/)).toBe(25 + 2500);
      await expect(
        client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'x' }] }),
      ).rejects.toThrow(/no chat template/);
      frontend.process.signal('SIGTERM');
      expect(await frontend.process.exitCode()).toBe(0);
    } finally {
      await engine.stop();
      await rm(folder, { recursive: true });
    }
  });

  test('goes on when a worker dies, and takes it back', async () => {
    const workers = await startWorkers(2, ['--timing', 'fixed:1,10']);
    const frontend = await startFrontend(workers, ['--router-mode', 'round-robin']);
    const client = clientOf(frontend);
    const ask = async (max_tokens = 20): Promise<'done' | 'broken'> => {
      try {
        const stream = await client.chat.completions.create({ ...chat('Hi'), max_tokens, stream: true });
        for await (const _ of stream);
        return 'done';
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(OpenAI.APIError);
        return 'broken';
      }
    };
    const running = Promise.all(Array.from({ length: 8 }, () => ask(600)));
    const begun = /^dynamo_frontend_time_to_first_token_seconds_count/;
    await until(async () => (await metric(frontend.url, begun)) === 8);
    await workers[1]?.process.kill();
    expect((await running).filter((outcome) => outcome === 'broken')).toHaveLength(4);
    expect(await Promise.all(Array.from({ length: 6 }, () => ask()))).toEqual(Array(6).fill('done'));
    await until(async () => (await instances(frontend.url)).length === 1);
    const port = new URL(workers[1]?.url ?? '').port;
    await serve(['worker', '--http-port', port]);
    await until(async () => (await instances(frontend.url)).length === 2);
    expect(await Promise.all(Array.from({ length: 6 }, () => ask()))).toEqual(Array(6).fill('done'));
    expect(await metric(frontend.url, /^dynamo_frontend_inflight_requests/)).toBe(0);
  });

  test('counts what its workers count', async () => {
    const workers = await startWorkers(2, ['--speedup', '20']);
    const frontend = await startFrontend(workers);
    const client = clientOf(frontend);
    let tokens = 0;
    const requests = Array.from({ length: 20 }, async (_, i) => {
      const answer = await client.chat.completions.create({ ...chat(`Question ${i}`), max_tokens: 10 + i });
      tokens += answer.usage?.completion_tokens ?? 0;
    });
    await Promise.all(requests);
    await until(async () => (await metric(frontend.url, /^dynamo_frontend_inflight_requests/)) === 0);
    expect(await metric(frontend.url, /^dynamo_frontend_output_tokens_total/)).toBe(tokens);
    expect(await metric(frontend.url, /^dynamo_frontend_requests_total.*status="success"/)).toBe(20);
    const served = await Promise.all(
      workers.map(({ systemUrl }) => metric(systemUrl, /^dynamo_component_requests_total/)),
    );
    expect(served.reduce((sum, count) => (sum ?? 0) + (count ?? 0), 0)).toBe(20);
  });

  test('lets answers end on SIGTERM and exits with 0', async () => {
    const frontend = await startFrontend(await startWorkers(1, ['--timing', 'fixed:1,10']));
    const stream = await clientOf(frontend).chat.completions.create({
      ...chat('Hi'),
      max_tokens: 50,
      stream: true,
    });
    let pieces = 0;
    for await (const chunk of stream) {
      if (pieces++ === 3) frontend.process.signal('SIGTERM');
      if (chunk.choices[0]?.finish_reason != null) expect(pieces).toBeGreaterThanOrEqual(50);
    }
    expect(await frontend.process.exitCode()).toBe(0);
  });

  test.each([
    [[], 2, /no engine is given[\s\S]*--engine http:\/\/HOST:PORT/],
    [
      ['--engine', 'localhost:8000'],
      2,
      /--engine: "localhost:8000" has the scheme localhost[\s\S]*Write http:/,
    ],
    [['--engine', 'http://h:1', '--tokenizer', '/no/such/file'], 1, /cannot read \/no\/such\/file/],
    [['--engine', 'http://h:1', '--api-key-file', '/no/keys'], 1, /cannot read \/no\/keys/],
    [['--engine', 'http://h:1', '--router-mode', 'rand'], 2, /Did you mean random\?|Choose from/],
  ])('says what is wrong with %j', async (args, code, message) => {
    const frontend = run(['frontend', '--http-port', '0', ...args]);
    expect(await frontend.exitCode()).toBe(code);
    expect(frontend.stderr).toMatch(message);
  });

  test('names the flag of a busy port', async () => {
    const [worker] = await startWorkers(1);
    const port = new URL(worker?.url ?? '').port;
    const frontend = run(['frontend', '--http-port', port, '--engine', worker?.url ?? '']);
    expect(await frontend.exitCode()).toBe(1);
    expect(frontend.stderr).toMatch(
      new RegExp(`port ${port} on 127.0.0.1 is already in use[\\s\\S]*--http-port`),
    );
  });
});
