import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fail } from '../../base/errors.ts';
import { answerBody, answerChunks } from './answer.ts';
import { errorBody } from './error-body.ts';
import { modelList, readModelList } from './model-card.ts';
import { parseChatRequest, parseCompletionRequest, requestedMaxTokens } from './request.ts';
import { readUsage, usageBody } from './usage.ts';

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/engine/openai-sse.json', import.meta.url), 'utf8'),
);
const created = 1757500000;
const usage = { promptTokens: 24, completionTokens: 2, cachedTokens: 16 };

describe('streamed answers', () => {
  test('have the bytes of a chat of vLLM', () => {
    const chunks = answerChunks('chat', { id: 'chatcmpl-abc', created, model: 'm' });
    expect([
      chunks.opening(0),
      chunks.text(0, 'Hi'),
      chunks.finish(0, '!', 'stop'),
      chunks.usage(usage),
      '[DONE]',
    ]).toEqual(golden.chat_stream_include_usage);
    expect(chunks.text(0, 'Hi', { promptTokens: 24, completionTokens: 1 })).toBe(
      golden.chat_stream_continuous_usage_middle_chunk,
    );
  });

  test('have the bytes of a completion of vLLM', () => {
    const chunks = answerChunks('completion', { id: 'cmpl-abc', created, model: 'm' });
    expect([
      chunks.text(0, 'Hi'),
      chunks.finish(0, '!', 'length'),
      chunks.usage({ promptTokens: 24, completionTokens: 2 }),
      '[DONE]',
    ]).toEqual(golden.completions_stream_include_usage);
  });

  test('open with usage when it is continuous', () => {
    const chunks = answerChunks('chat', { id: 'x', created, model: 'm' });
    expect(JSON.parse(chunks.opening(1, { promptTokens: 24, completionTokens: 0 }))).toMatchObject({
      choices: [{ index: 1 }],
      usage: { prompt_tokens: 24, completion_tokens: 0, total_tokens: 24 },
    });
  });
});

describe('whole answers', () => {
  test('hold all choices and the usage', () => {
    const head = { id: 'cmpl-1', created, model: 'm' };
    expect(answerBody('completion', head, [{ text: 'Hi', finishReason: 'length' }], usage)).toEqual({
      id: 'cmpl-1',
      object: 'text_completion',
      created,
      model: 'm',
      choices: [{ index: 0, text: 'Hi', logprobs: null, finish_reason: 'length', stop_reason: null }],
      usage: {
        prompt_tokens: 24,
        total_tokens: 26,
        completion_tokens: 2,
        prompt_tokens_details: { cached_tokens: 16 },
      },
    });
  });
});

describe('usage', () => {
  test('is read back as written, and an unknown cached count is not 0', () => {
    expect(readUsage(usageBody(usage))).toEqual(usage);
    expect(readUsage(usageBody({ promptTokens: 1, completionTokens: 2 }))).toEqual({
      promptTokens: 1,
      completionTokens: 2,
    });
    expect(readUsage(null)).toBeUndefined();
    expect(readUsage({ prompt_tokens: -1 })).toBeUndefined();
  });
});

describe('errors', () => {
  test('have the shape and type of vLLM', () => {
    const { error } = errorBody(fail('KV_MODEL_UNKNOWN', { model: 'nope', served: 'm', param: 'model' }));
    const expected = golden.error_model_not_found.body.error;
    expect({ type: error.type, param: error.param, code: error.code }).toEqual({
      type: expected.type,
      param: expected.param,
      code: expected.code,
    });
    expect(error.message).toBe(`${expected.message} Served models: m.`);
  });
});

describe('requests', () => {
  const chat = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };

  test('keep fields that the schema does not name', () => {
    const request = parseChatRequest({ ...chat, top_k: 5, messages: [{ ...chat.messages[0], name: 'n' }] });
    expect(request).toMatchObject({ top_k: 5, messages: [{ name: 'n' }] });
  });

  test.each([
    [{ ...chat, model: '' }, 'model', /^Validation: model: .*\(got ""\)/],
    [{ model: 'm' }, 'messages', /^Validation: messages: /],
    [{ ...chat, messages: [] }, 'messages', /^Validation: messages: /],
    [
      { ...chat, messages: [{ role: 'user', content: 3 }] },
      'messages.0.content',
      /has a wrong type \(got 3\)/,
    ],
    [{ ...chat, max_tokens: 0 }, 'max_tokens', /\(got 0\)/],
    [{ ...chat, temperature: 'hot' }, 'temperature', /\(got "hot"\)/],
    [{ ...chat, nvext: { agent_hints: { osl: 'soon' } } }, 'nvext.agent_hints.osl', /soon/],
    [[], undefined, /^Validation: body: /],
    [null, undefined, /^Validation: body: /],
    ['{}', undefined, /^Validation: body: /],
  ])('are refused with the field and the value: %j', (body, param, reason) => {
    expect(() => parseChatRequest(body)).toThrow(reason);
    try {
      parseChatRequest(body);
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'KV_REQUEST_INVALID', status: 400, facts: { param } });
    }
  });

  test.each([['Hi'], [['Hi', 'Yo']], [[1, 2, 4294967295]], [[[1], [2, 3]]]])(
    'take text or token ids as prompt: %j',
    (prompt) => {
      expect(parseCompletionRequest({ model: 'm', prompt }).prompt).toEqual(prompt);
    },
  );

  test.each([
    [[7, -1], 'prompt.1: is no token id (0 to 4294967295) (got -1)'],
    [[4294967296], 'prompt.0: is no token id'],
    [[1.5], 'prompt.0: is no token id'],
    [[1, 'a'], 'prompt.1: is no token id (0 to 4294967295) (got "a")'],
    [[], 'prompt: is empty (got [])'],
    [[[]], 'prompt.0: is empty'],
    [[[1], 2], 'prompt.1: is no list of token ids (got 2)'],
    [[[1], [2, null]], 'prompt.1.1: is no token id'],
    [['a', 1], 'prompt.1: is no text, unlike the first (got 1)'],
    [null, 'prompt: has a wrong type: give a text, token ids, or a list of either (got null)'],
    [undefined, 'prompt: has a wrong type'],
    [{}, 'prompt: has a wrong type'],
  ])('refuse a prompt of %j', (prompt, reason) => {
    expect(() => parseCompletionRequest({ model: 'm', prompt })).toThrow(`Validation: ${reason}`);
    expect(() =>
      parseCompletionRequest(prompt === undefined ? { model: 'm' } : { model: 'm', prompt }),
    ).toThrow(/^Validation: prompt/);
  });

  test('take worker ids as integers or as text', () => {
    const nvext = { backend_instance_id: '17868415983866978093', prefill_worker_id: 7 };
    expect(parseChatRequest({ ...chat, nvext }).nvext).toEqual({
      backend_instance_id: '17868415983866978093',
      prefill_worker_id: '7',
    });
    expect(() => parseChatRequest({ ...chat, nvext: { decode_worker_id: 1.5 } })).toThrow(/decode_worker_id/);
  });

  test('prefer the newer limit of generated tokens', () => {
    expect(requestedMaxTokens(parseChatRequest({ ...chat, max_tokens: 5, max_completion_tokens: 7 }))).toBe(
      7,
    );
    expect(requestedMaxTokens(parseCompletionRequest({ model: 'm', prompt: 'x' }))).toBeUndefined();
  });
});

describe('model cards', () => {
  test('are read back as written', () => {
    const card = {
      id: 'm',
      ownedBy: 'kvasir',
      contextLength: 8192,
      parent: undefined,
      engine: { blockSize: 64, dpSize: 2, role: 'both', kvEvents: 'tcp://127.0.0.1:5557' } as const,
    };
    expect(readModelList(modelList([{ ...card, created }]))).toEqual([card]);
  });

  test('of other engines have no facts, and nonsense gives none', () => {
    expect(
      readModelList({ data: [{ id: 'q', max_model_len: 4096, permission: [] }, { id: 3 }, null] }),
    ).toEqual([{ id: 'q', ownedBy: '', contextLength: 4096, parent: undefined, engine: undefined }]);
    expect(readModelList('no')).toEqual([]);
  });
});
