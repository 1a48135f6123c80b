import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseExposition } from '../../src/formats/prometheus-text/parse.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { tinyTokenizer } from '../support/tiny-tokenizer.ts';

interface Ready {
  readonly event: string;
  readonly role: string;
  readonly url: string;
  readonly workers: readonly {
    readonly url: string;
    readonly systemUrl: string;
    readonly kvEvents: string;
  }[];
}

const PROMPT = 'All happy families are alike; each unhappy family is unhappy in its own way. '.repeat(20);

describe('kvasir up', () => {
  let kvasir: KvasirProcess;
  let ready: Ready;
  let client: OpenAI;

  beforeAll(async () => {
    kvasir = new KvasirProcess([
      'up',
      '--workers',
      '3',
      '--http-port',
      '0',
      '--system-port-base',
      '0',
      '--speedup',
      '10',
      '--log-level',
      'error',
    ]);
    ready = (await kvasir.json()) as unknown as Ready;
    client = new OpenAI({ baseURL: `${ready.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(() => kvasir.kill());

  const scrape = async (url: string) =>
    parseExposition(await (await fetch(`${url}/metrics`)).text()).families;

  test('says on one line where everything is', () => {
    expect(ready).toMatchObject({ event: 'ready', role: 'frontend' });
    expect(ready.workers).toHaveLength(3);
    for (const worker of ready.workers) expect(worker.kvEvents).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
  });

  test('answers the official client’s responses and embeddings too', async () => {
    const ask = { model: 'kvasir-sim', input: 'Tell me', max_output_tokens: 30 };
    const whole = await client.responses.create(ask);
    expect(whole.output_text.length).toBeGreaterThan(20);
    let text = '';
    for await (const event of await client.responses.create({ ...ask, stream: true }))
      if (event.type === 'response.output_text.delta') text += event.delta;
    expect(text).toBe(whole.output_text);
    const { data } = await client.embeddings.create({ model: 'kvasir-sim', input: ['one', 'two'] });
    expect(data.map(({ embedding }) => embedding.length)).toEqual([384, 384]);
  });

  test('answers the official client, streaming and not, with the same text', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(['kvasir-sim']);
    const ask = {
      model: 'kvasir-sim',
      messages: [{ role: 'user' as const, content: PROMPT }],
      max_tokens: 24,
    };
    const whole = await client.chat.completions.create(ask);
    expect(whole.usage?.completion_tokens).toBe(24);
    expect(whole.choices[0]?.finish_reason).toBe('length');
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text.length).toBeGreaterThan(0);
    expect(usage?.completion_tokens).toBe(24);
    // The second request found the first one's blocks: all but the last, which is always computed.
    const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
    expect(cached).toBeGreaterThan(usage!.prompt_tokens - 2 * 64);
    expect(cached % 64).toBe(0);
  });

  test('sends a prompt to the worker that has it, and knows beforehand what is cached', async () => {
    const prompt = `${PROMPT} ${Math.random()}`;
    const ask = () =>
      client.completions.create({ model: 'kvasir-sim', prompt, max_tokens: 4 }).withResponse();
    const first = await ask();
    const { hits, ids } = await repeat(ask, 6);
    expect(new Set([...ids, workerOf(first.response)]).size).toBe(1);
    expect(ids[0]).toMatch(/^\d+$/);
    expect(new Set(hits).size).toBe(1);
    expect(hits[0]).toBeGreaterThan(1000);
    const families = await scrape(ready.url);
    const total = (name: string): number =>
      families.get(name)?.samples.reduce((sum, { value }) => sum + value, 0) ?? 0;
    expect(total('kvasir_router_predicted_cached_tokens_total')).toBe(
      total('kvasir_router_reported_cached_tokens_total'),
    );
    const states = families.get('kvasir_index_rank_state')!.samples.filter(({ value }) => value === 1);
    expect(states.map(({ labels }) => labels.state)).toEqual(['exact', 'exact', 'exact']);
  });

  test('shows a page, its API, its health and its workers’ metrics', async () => {
    const page = await fetch(ready.url);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(await page.text()).toContain('<title>Kvasir</title>');
    const api = (await (await fetch(`${ready.url}/openapi.json`)).json()) as {
      paths: Record<string, unknown>;
    };
    expect(Object.keys(api.paths)).toContain('/v1/chat/completions');
    expect((await fetch(`${ready.url}/health`)).status).toBe(200);
    expect((await fetch(`${ready.url}/live`)).status).toBe(200);
    for (const { systemUrl } of ready.workers) {
      const families = await scrape(systemUrl);
      expect(families.get('dynamo_component_kvstats_total_blocks')?.samples[0]?.value).toBe(16_384);
      expect((await fetch(`${systemUrl}/health`)).status).toBe(200);
    }
  });

  test('drains and exits 0 on SIGTERM', async () => {
    const stream = await client.completions.create({
      model: 'kvasir-sim',
      prompt: PROMPT,
      max_tokens: 200,
      stream: true,
    });
    let finish: string | null | undefined;
    const reading = (async () => {
      for await (const chunk of stream) finish = chunk.choices[0]?.finish_reason ?? finish;
    })();
    kvasir.signal('SIGTERM');
    await reading;
    expect(finish).toBe('length');
    expect(await kvasir.exitCode()).toBe(0);
  });
});

test('kvasir up counts tokens as the given tokenizer does, and routes by its blocks', async () => {
  const tokenizer = join(mkdtempSync(join(tmpdir(), 'kvasir-up-')), 'tokenizer.json');
  writeFileSync(tokenizer, JSON.stringify(tinyTokenizer()));
  const kvasir = new KvasirProcess([
    ...['up', '--workers', '2', '--http-port', '0', '--system-port-base', '0', '--log-level', 'error'],
    ...['--tokenizer', tokenizer, '--block-size', '16', '--speedup', '10'],
  ]);
  try {
    const { url } = await kvasir.json();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const ask = () =>
      client.completions.create({ model: 'kvasir-sim', prompt: 'abab'.repeat(40), max_tokens: 4 });
    expect((await ask()).usage).toMatchObject({ prompt_tokens: 40, completion_tokens: 4 });
    expect((await ask()).usage?.prompt_tokens_details?.cached_tokens).toBe(32);
  } finally {
    await kvasir.kill();
  }
});

type Asked = Awaited<ReturnType<ReturnType<OpenAI['completions']['create']>['withResponse']>>;

function workerOf(response: Response): string | null {
  return response.headers.get('x-kvasir-worker-id');
}

async function repeat(
  ask: () => Promise<Asked>,
  times: number,
): Promise<{ hits: number[]; ids: (string | null)[] }> {
  const hits: number[] = [];
  const ids: (string | null)[] = [];
  for (let i = 0; i < times; i++) {
    const { data, response } = await ask();
    hits.push((data as OpenAI.Completion).usage?.prompt_tokens_details?.cached_tokens ?? 0);
    ids.push(workerOf(response));
  }
  return { hits, ids };
}
