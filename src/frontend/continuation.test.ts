import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  payloads,
  post,
  requestsTotal,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';
import type { Behaviour, SeenRequest } from '../../test/support/openai-engine.ts';
import { until } from '../../test/support/until.ts';

cleanUp();

/** Engines that break off in the stream of the first requests that reach any of them, `deaths` times in all. */
async function startFleet(
  count: number,
  deaths: number,
  parts: object = { migrationLimit: 1 },
  death: Behaviour = 'die in stream',
) {
  const engines = await Promise.all(Array.from({ length: count }, () => startEngine()));
  const next = new Array<Behaviour>(deaths).fill(death);
  for (const engine of engines) engine.next = next;
  const setup = await startFrontend({ engines, parts });
  const seen = (): SeenRequest[] => engines.flatMap((engine) => engine.seen).sort((a, b) => a.atMs - b.atMs);
  return { ...setup, engines, seen };
}

const contents = (events: readonly string[]): string[] =>
  events
    .filter((event) => event.startsWith('{"id'))
    .map((event) => JSON.parse(event).choices[0])
    .filter((choice) => choice !== undefined)
    .map((choice) => choice.text ?? choice.delta.content);

const MIGRATIONS = 'dynamo_frontend_model_migration_total{migration_type="ongoing_request",model="m"}';

describe('an answer that breaks off', () => {
  test('is gone on with by another worker, as one answer to the client', async () => {
    const { url, engines, seen, value, routers } = await startFleet(2, 1);
    const body = { ...CHAT, stream: true, max_tokens: 5, stream_options: { include_usage: true } };
    const answer = post(url, '/v1/chat/completions', body);
    const events = payloads(await (await answer).text());
    expect(contents(events)).toEqual(['', 'w0 ', 'w1 ', 'w0 ', 'w1 ', 'w2 ']);
    expect(JSON.parse(events.at(-2) ?? '').usage).toMatchObject({ prompt_tokens: 38, completion_tokens: 5 });
    expect(seen().map((each) => each.body)).toMatchObject([
      { max_tokens: 5 },
      {
        max_tokens: 3,
        messages: [...CHAT.messages, { role: 'assistant', content: 'w0 w1 ' }],
        add_generation_prompt: false,
        continue_final_message: true,
      },
    ]);
    expect(engines.map((engine) => engine.seen.length)).toEqual([1, 1]);
    await until(async () => (await value(requestsTotal(true))) === 1);
    expect(await value(MIGRATIONS)).toBe(1);
    const ended = 'dynamo_frontend_model_migration_duration_seconds_count';
    const labels = '{migration_type="ongoing_request",model="m",outcome="success"}';
    expect(await value(`${ended}${labels}`)).toBe(1);
    expect(await value('dynamo_frontend_output_tokens_total{model="m"}')).toBe(5);
    expect(await value('dynamo_frontend_time_to_first_token_seconds_count{model="m"}')).toBe(1);
    expect(await value('dynamo_frontend_inter_token_latency_seconds_count{model="m"}')).toBe(4);
    expect(routers[0]?.loads().map((load) => load.activeRequests)).toEqual([0, 0]);
  });

  test.each([
    ['a text', 'Once ', 'Once w0 w1 '],
    ['token ids', [1, 2], [1, 2, ...Buffer.from('w0 w1 ')]],
  ])('joins the prompt of a completion of %s', async (_, prompt, joined) => {
    const { url, seen } = await startFleet(2, 1);
    const answer = post(url, '/v1/completions', { model: 'm', prompt, stream: true, min_tokens: 3 });
    await (await answer).text();
    expect(seen()[1]?.body).toMatchObject({ prompt: joined, max_tokens: 14, min_tokens: 1 });
  });

  test.each(['error in stream', 'error at once in stream'] as const)(
    'is gone on with where the engine says that it fails: %s',
    async (death) => {
      const { url, engines, value } = await startFleet(2, 1, { migrationLimit: 1 }, death);
      const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 5 });
      const text = await response.text();
      expect(text).not.toContain('error');
      expect(contents(payloads(text)).filter((each) => each !== '')).toHaveLength(5);
      expect(payloads(text).filter((event) => event === '[DONE]')).toHaveLength(1);
      expect(engines.map((engine) => engine.seen.length)).toEqual([1, 1]);
      await until(async () => (await value(requestsTotal(true))) === 1);
    },
  );

  test('tells the failing of the engine when no migration is left', async () => {
    const { url, seen } = await startFleet(3, 9, { migrationLimit: 1 }, 'error in stream');
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 9 });
    const events = payloads(await response.text());
    expect(JSON.parse(events.at(-2) ?? '').error.message).toContain('out of luck');
    expect(events.at(-1)).toBe('[DONE]');
    expect(seen()).toHaveLength(2);
  });

  test('is not taken over when the engine says that the request is wrong', async () => {
    const { url, seen } = await startFleet(2, 9, { migrationLimit: 1 }, 'wrong in stream');
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
    const events = payloads(await response.text());
    expect(JSON.parse(events.at(-2) ?? '')).toEqual({ error: { message: 'out of luck', code: 400 } });
    expect(seen()).toHaveLength(1);
  });

  test('is given up after as many migrations as are allowed', async () => {
    const { url, seen, value } = await startFleet(3, 9);
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 9 });
    const events = payloads(await response.text());
    expect(contents(events)).toEqual(['', 'w0 ', 'w1 ', 'w0 ', 'w1 ']);
    expect(JSON.parse(events.at(-2) ?? '').error.message).toMatch(/ended its answer early/);
    expect(seen()).toHaveLength(2);
    await until(async () => (await value(requestsTotal(true, 'internal'))) === 1);
    expect(await value(MIGRATIONS)).toBe(1);
  });

  test.each([
    ['the client named the worker', {}, { 'x-worker-instance-id': '1' }],
    ['its form is bound', { response_format: { type: 'json_object' } }, {}],
    ['it has several choices', { n: 2 }, {}],
  ])('is not taken over when %s', async (_, fields, headers) => {
    const { url, seen, value } = await startFleet(2, 9);
    const body = { ...CHAT, ...fields, stream: true };
    const events = payloads(await (await post(url, '/v1/chat/completions', body, { headers })).text());
    expect(JSON.parse(events.at(-2) ?? '').error.message).toMatch(/ended its answer early/);
    expect(seen()).toHaveLength(1);
    expect(await value(MIGRATIONS)).toBe(0);
  });

  test('is not taken over when it has grown too long', async () => {
    const { url, seen, value } = await startFleet(2, 9, { migrationLimit: 3, migrationMaxSeqLen: 19 });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
    expect(payloads(await response.text()).at(-2)).toContain('"error"');
    expect(seen()).toHaveLength(1);
    expect(await value('dynamo_frontend_model_migration_max_seq_len_exceeded_total{model="m"}')).toBe(1);
  });
});
