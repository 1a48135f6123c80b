import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { complete, post, stream, Workers } from '../../test/support/workers.ts';
import { LibraryTokenizer } from '../tokenizer/library-tokenizer.ts';

const workers = new Workers();
afterEach(() => workers.stopAll());

const CHAT = '/v1/chat/completions';
const MESSAGES = [{ role: 'user', content: 'Hi' }];
const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city'],
};
const TOOLS = [
  { type: 'function', function: { name: 'weather', parameters: WEATHER } },
  { type: 'function', function: { name: 'time' } },
];
const NAMED = { type: 'function', function: { name: 'weather' } };
const chat = async (url: string, more: object) =>
  (await post(url, CHAT, { model: 'm', messages: MESSAGES, ...more })).body;
const chunksOf = async (url: string, more: object) =>
  (await stream(url, CHAT, { messages: MESSAGES, ...more })).slice(0, -1).map((event) => JSON.parse(event));

describe('an answer that must be a call', () => {
  test('names the tool, with arguments by its schema', async () => {
    const { url } = await workers.start();
    const { choices, usage } = await chat(url, { tools: TOOLS, tool_choice: NAMED });
    expect(choices[0].finish_reason).toBe('tool_calls');
    expect(choices[0].message.content).toBeNull();
    const [call] = choices[0].message.tool_calls;
    expect(call).toMatchObject({
      type: 'function',
      id: expect.stringMatching(/^call_/),
      function: { name: 'weather' },
    });
    expect(JSON.parse(call.function.arguments)).toEqual({
      city: expect.any(String),
      days: expect.any(Number),
    });
    expect(usage.completion_tokens).toBe(call.function.arguments.length + 1);
  });

  test('is streamed piece by piece, its name first', async () => {
    const { url } = await workers.start();
    const whole = await chat(url, { tools: TOOLS, tool_choice: NAMED });
    const chunks = await chunksOf(url, { tools: TOOLS, tool_choice: NAMED });
    const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    expect(calls[0]).toMatchObject({ index: 0, type: 'function', function: { name: 'weather' } });
    expect(calls.slice(1).every((call) => call.id === undefined && call.function.name === undefined)).toBe(
      true,
    );
    const said = whole.choices[0].message.tool_calls[0].function.arguments;
    expect(calls.map((call) => call.function.arguments).join('')).toBe(said);
    expect(chunks.at(-1).choices[0].finish_reason).toBe('tool_calls');
  });

  test('is of some tool where any will do, and text where the model may choose', async () => {
    const { url } = await workers.start();
    const { choices } = await chat(url, { tools: TOOLS, tool_choice: 'required', n: 8 });
    const names = choices.map(
      (choice: { message: { tool_calls: { function: { name: string } }[] } }) =>
        choice.message.tool_calls[0]?.function.name,
    );
    expect(new Set(names)).toEqual(new Set(['weather', 'time']));
    const free = await chat(url, { tools: TOOLS, max_tokens: 7 });
    expect(free.choices[0].message).toEqual({ role: 'assistant', content: expect.stringMatching(/^.{7}$/) });
    const old = await chat(url, { functions: [TOOLS[0]!.function], function_call: { name: 'weather' } });
    expect(old.choices[0].finish_reason).toBe('tool_calls');
  });

  test('is cut off at the tokens it may have', async () => {
    const { url } = await workers.start();
    const { choices, usage } = await chat(url, { tools: TOOLS, tool_choice: NAMED, max_tokens: 5 });
    expect(choices[0].finish_reason).toBe('length');
    expect(usage.completion_tokens).toBe(5);
  });
});

describe('an answer of a given structure', () => {
  const format = { type: 'json_schema', json_schema: { name: 'x', strict: true, schema: WEATHER } };

  test('is JSON by the schema, whole and streamed', async () => {
    const { url } = await workers.start();
    const { choices } = await chat(url, { response_format: format });
    expect(choices[0].finish_reason).toBe('stop');
    expect(JSON.parse(choices[0].message.content)).toEqual({
      city: expect.any(String),
      days: expect.any(Number),
    });
    const chunks = await chunksOf(url, { response_format: format });
    expect(chunks.map((chunk) => chunk.choices[0].delta.content).join('')).toBe(choices[0].message.content);
  });

  test.each([
    [{ response_format: { type: 'json_object' } }, /^\{"answer":"[^"]+"\}$/],
    [{ structured_outputs: { choice: ['yes', 'no'] } }, /^(yes|no)$/],
    [{ guided_json: JSON.stringify(WEATHER) }, /^\{"city":"[^"]+","days":\d+\}$/],
  ])('by %j', async (more, shape) => {
    const { url } = await workers.start();
    expect((await chat(url, more)).choices[0].message.content).toMatch(shape);
  });

  test.each([
    [{ structured_outputs: { regex: 'a+' } }, /^Validation: regex: a simulated engine cannot follow it/],
    [{ tool_choice: 'required' }, /tool_choice: no function is given/],
    [
      { tools: TOOLS, tool_choice: { type: 'function', function: { name: 'nope' } } },
      /no tool is named "nope"/,
    ],
    [{ guided_json: '{' }, /json: the schema is not valid JSON/],
    [{ top_logprobs: 2 }, /top_logprobs: it needs logprobs/],
    [{ logprobs: true, top_logprobs: 21 }, /21 is not from 0 to 20/],
  ])('is refused for %j', async (more, message) => {
    const { url } = await workers.start();
    const { status, body } = await post(url, CHAT, { model: 'm', messages: MESSAGES, ...more });
    expect([status, body.error.message]).toEqual([400, expect.stringMatching(message)]);
  });

  const shared = sharedFile('data/tokenizers/tinyllama-v1.1.tokenizer.json.gz');
  test.skipIf(shared === undefined)('comes unharmed through a model’s own tokens', async () => {
    const json = JSON.parse(gunzipSync(readFileSync(shared!)).toString());
    const config = { bos_token: '<s>', eos_token: '</s>', chat_template: '{{ messages[0].content }}' };
    const { url } = await workers.start({ tokenizer: new LibraryTokenizer({ tokenizer: json, config }) });
    const { choices } = await chat(url, { response_format: format });
    expect(JSON.parse(choices[0].message.content)).toEqual({
      city: expect.any(String),
      days: expect.any(Number),
    });
  });
});

describe('log probabilities', () => {
  test('of a chat are told token by token, alternatives beside them', async () => {
    const { url } = await workers.start();
    const { choices } = await chat(url, { max_tokens: 3, logprobs: true, top_logprobs: 2 });
    const { content } = choices[0].logprobs;
    expect(content.map(({ token }: { token: string }) => token).join('')).toBe(choices[0].message.content);
    for (const { token, logprob, bytes, top_logprobs: top } of content) {
      expect(Buffer.from(bytes).toString()).toBe(token);
      expect(top).toHaveLength(2);
      expect(top[0]).toEqual({ token, logprob, bytes });
      expect(Math.exp(logprob) + Math.exp(top[1].logprob)).toBeLessThan(1);
      expect(top[1].logprob).toBeLessThan(logprob);
    }
    const chunks = await chunksOf(url, { max_tokens: 3, logprobs: true, top_logprobs: 2 });
    expect(chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? [])).toEqual(content);
  });

  test('of a completion begin with those of an echoed prompt, also where that is all', async () => {
    const { url } = await workers.start();
    const { body } = await complete(url, { prompt: 'abc', max_tokens: 0, echo: true, logprobs: 1 });
    const [{ text, logprobs }] = body.choices;
    expect(text).toBe('abc');
    expect(logprobs.tokens).toEqual(['a', 'b', 'c']);
    expect(logprobs.text_offset).toEqual([0, 1, 2]);
    expect(logprobs.token_logprobs).toEqual([null, expect.any(Number), expect.any(Number)]);
    expect(logprobs.top_logprobs[1]).toEqual({ b: logprobs.token_logprobs[1] });
    const more = await complete(url, { prompt: 'abc', max_tokens: 2, echo: true, logprobs: 0 });
    expect(more.body.choices[0].logprobs.tokens.join('')).toBe(more.body.choices[0].text);
    const refused = await post(url, '/v1/completions', { model: 'm', prompt: 'abc', max_tokens: 0 });
    expect(refused.status).toBe(400);
  });
});
