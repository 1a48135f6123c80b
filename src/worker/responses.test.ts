import { afterEach, describe, expect, test } from 'vitest';
import { post, stream, Workers } from '../../test/support/workers.ts';

const workers = new Workers();
afterEach(() => workers.stopAll());

const RESPONSES = '/v1/responses';
const TOOL = {
  type: 'function',
  name: 'f',
  parameters: { type: 'object', properties: { a: { type: 'integer' } } },
};
const events = async (url: string, body: object) =>
  (await stream(url, RESPONSES, body)).map((frame) => JSON.parse(/^data: (.*)$/m.exec(frame)![1]!));

describe('a simulated engine asked for a response', () => {
  test('says what it says to the same chat', async () => {
    const { url } = await workers.start();
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ];
    const chat = await post(url, '/v1/chat/completions', { model: 'm', messages, max_tokens: 40 });
    const ask = { model: 'm', instructions: 'Be brief.', input: 'Hi', max_output_tokens: 40 };
    const { body } = await post(url, RESPONSES, ask);
    expect(body).toMatchObject({
      object: 'response',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [
        { type: 'message', content: [{ type: 'output_text', text: chat.body.choices[0].message.content }] },
      ],
      usage: {
        input_tokens: chat.body.usage.prompt_tokens,
        input_tokens_details: { cached_tokens: 16 },
        output_tokens: 40,
      },
    });
    const streamed = await events(url, ask);
    const deltas = streamed.filter(({ type }) => type === 'response.output_text.delta');
    const text = deltas.map(({ delta }) => delta).join('');
    expect(text).toBe(body.output[0].content[0].text);
    expect(streamed.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { output: [{ content: [{ text }] }], usage: { output_tokens: 40 } },
    });
  });

  test('calls a function that it must call, whole and streamed', async () => {
    const { url } = await workers.start();
    const ask = { model: 'm', input: 'Hi', tools: [TOOL], tool_choice: { type: 'function', name: 'f' } };
    const { body } = await post(url, RESPONSES, ask);
    const [call] = body.output;
    expect(call).toMatchObject({
      type: 'function_call',
      name: 'f',
      call_id: expect.stringMatching(/^call_/),
      status: 'completed',
    });
    expect(JSON.parse(call.arguments)).toEqual({ a: expect.any(Number) });
    const streamed = await events(url, ask);
    expect(streamed.find(({ type }) => type === 'response.function_call_arguments.done')).toMatchObject({
      name: 'f',
      arguments: call.arguments,
    });
    expect(streamed.at(-1)).toMatchObject({
      type: 'response.completed',
      response: { output: [{ type: 'function_call' }] },
    });
  });

  test.each([
    [{ previous_response_id: 'resp_1' }, /keeps no responses/],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, /cannot be read as messages/],
  ])('refuses %j', async (more, message) => {
    const { url } = await workers.start();
    const { status, body } = await post(url, RESPONSES, { model: 'm', input: 'Hi', ...more });
    expect([status, body.error.message]).toEqual([400, expect.stringMatching(message)]);
  });
});

describe('a simulated engine asked for embeddings', () => {
  const embed = async (url: string, body: object) =>
    (await post(url, '/v1/embeddings', { model: 'm', ...body })).body;
  const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

  test('gives vectors of length one, near for texts that share tokens', async () => {
    const { url } = await workers.start();
    const input = ['the quick brown fox', 'the quick brown dog', '0123456789', 'the quick brown fox'];
    const { data, usage } = await embed(url, { input });
    const [fox, dog, digits, again] = data.map(({ embedding }: { embedding: number[] }) => embedding);
    expect(fox).toHaveLength(384);
    expect(again).toEqual(fox);
    expect(dot(fox, fox)).toBeCloseTo(1, 5);
    expect(dot(fox, dog)).toBeGreaterThan(dot(fox, digits) + 0.3);
    expect(usage).toEqual({ prompt_tokens: 67, total_tokens: 67 });
  });

  test('in the encoding and the size asked for, of texts and of tokens', async () => {
    const { url } = await workers.start();
    const floats = await embed(url, { input: [97, 98], dimensions: 8 });
    const packed = await embed(url, { input: 'ab', dimensions: 8, encoding_format: 'base64' });
    const bytes = Buffer.from(packed.data[0].embedding, 'base64');
    const unpacked = Array.from({ length: 8 }, (_, i) => bytes.readFloatLE(4 * i));
    expect(unpacked).toEqual(floats.data[0].embedding);
  });

  test.each([
    [{ input: 'x', model: 'other' }, 404, /`other` does not exist/],
    [{ input: 'x', dimensions: 10_000 }, 400, /dimensions: 10000 exceed/],
    [{ input: 'x'.repeat(500) }, 400, /context length/],
    [{ input: {} }, 400, /^Validation: input: has a wrong type/],
  ])('refuses %j', async (body, status, message) => {
    const { url } = await workers.start({ maxModelLen: 300 });
    const answer = await post(url, '/v1/embeddings', { model: 'm', ...body });
    expect([answer.status, answer.body.error.message]).toEqual([status, expect.stringMatching(message)]);
  });
});
