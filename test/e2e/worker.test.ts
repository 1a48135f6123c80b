import OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../../src/transport/free-port.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { complete, metric, until } from '../support/workers.ts';

const FREE = 'tcp://127.0.0.1:0';
const started: KvasirProcess[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((kvasir) => kvasir.kill()));
});

function worker(args: readonly string[], env?: Readonly<Record<string, string>>): KvasirProcess {
  const kvasir = new KvasirProcess(['worker', '--http-port', '0', ...args], env);
  started.push(kvasir);
  return kvasir;
}

describe('kvasir worker', () => {
  test('says in one line where it serves, and what it serves is what a client of OpenAI expects', async () => {
    const kvasir = worker(['--kv-events', FREE, '--replay', FREE, '--speedup', '10'], {
      DYN_SYSTEM_PORT: '0',
    });
    const ready = await kvasir.json();
    expect(ready).toEqual({
      event: 'ready',
      role: 'worker',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      systemUrl: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      kvEvents: expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/),
      replay: expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/),
    });
    const client = new OpenAI({ baseURL: `${ready.url}/v1`, apiKey: 'none' });
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['kvasir-sim']);
    const request = { model: 'kvasir-sim', messages: [{ role: 'user', content: 'Hello' } as const], n: 2 };
    const whole = await client.chat.completions.create(request);
    const texts = ['', ''];
    const stream = client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of await stream) {
      for (const { index, delta } of chunk.choices) texts[index] += delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
    expect(usage?.total_tokens).toBe(whole.usage?.total_tokens);
    await expect(client.completions.create({ model: 'x', prompt: 'y' })).rejects.toThrow(
      OpenAI.NotFoundError,
    );
    expect(await metric(String(ready.systemUrl), /^dynamo_component_requests_total/)).toBe(3);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'finishes its requests on %s and exits with 0',
    async (signal) => {
      const kvasir = worker(['--timing', 'fixed:1,5', '--model', 'm']);
      const { url } = await kvasir.json();
      const answer = complete(String(url), { prompt: 'x', max_tokens: 50 });
      await until(async () => (await metric(String(url), /^vllm:num_requests_running/)) === 1);
      kvasir.signal(signal);
      expect((await answer).body.usage.completion_tokens).toBe(50);
      expect(await kvasir.exitCode()).toBe(0);
    },
  );

  test('gives up its pretended loading when told to stop', async () => {
    const port = await freePort();
    const kvasir = worker(['--startup-time', '600', '--http-port', String(port)]);
    await until(
      async () => (await fetch(`http://127.0.0.1:${port}/live`).catch(() => undefined))?.ok === true,
    );
    kvasir.signal('SIGTERM');
    expect(await kvasir.exitCode()).toBe(0);
  });

  test.each([
    [['--timing', 'slow'], 2, /--timing: slow is not a timing model\n.*fixed:20,5/],
    [['--block-size', '1'], 2, /blockSize: 1 is too small for vllm/],
    [['--kv-events', '5557'], 2, /--kv-events: 5557 is no ZMQ endpoint\n.*tcp:\/\/HOST:PORT/],
    [['--engine', 'real'], 2, /--engine: real is not an engine\n.*http:\/\/HOST:PORT/],
    [['--kv-events-format', 'vllm-0.25'], 2, /Did you mean vllm-0\.2\d/],
    [['--extra-engine-args', '{"aic_next":2}'], 2, /engine argument aic_next\n.*Did you mean aic_nextn/],
    [['--frobnicate'], 2, /unknown option '--frobnicate'/],
  ])('refuses %j with exit code %i and says how to mend it', async (args, code, message) => {
    const kvasir = worker(args);
    expect(await kvasir.exitCode()).toBe(code);
    expect(kvasir.stderr).toMatch(message);
  });

  test('names the flag of a port that is busy, and leaves nothing behind', async () => {
    const { url, kvEvents } = await worker(['--kv-events', FREE]).json();
    for (const [flag, address] of [
      ['--http-port', new URL(String(url)).port],
      ['--system-port', new URL(String(url)).port],
      ['--kv-events', String(kvEvents)],
      ['--replay', String(kvEvents)],
    ] as const) {
      const second = worker(['--kv-events', FREE, flag, address]);
      expect(await second.exitCode()).toBe(1);
      expect(second.stderr).toMatch(new RegExp(`is already in use\\n.*${flag}`));
    }
  });
});
