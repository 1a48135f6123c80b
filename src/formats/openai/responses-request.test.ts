import { describe, expect, test } from 'vitest';
import { readChunk } from './answer-chunk.ts';
import { chatOfResponses } from './responses-request.ts';

describe('the chat of a response', () => {
  test('is its instructions and its input', () => {
    expect(chatOfResponses({ model: 'm', input: 'Hi', instructions: 'Be brief.' })?.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ]);
  });

  test('has what an assistant thought, said and called in one message', () => {
    const input = [
      { role: 'user', content: [{ type: 'input_text', text: 'w?' }] },
      { type: 'reasoning', id: 'r', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Let me see.' }] },
      { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a":1}' },
      { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: '42' },
      { role: 'assistant', content: 'So.' },
      { role: 'assistant', content: 'And more.' },
    ];
    const call = (id: string, name: string, args: string) => ({
      id,
      type: 'function',
      function: { name, arguments: args },
    });
    expect(chatOfResponses({ model: 'm', input })?.messages).toEqual([
      input[0],
      {
        role: 'assistant',
        reasoning: 'hm',
        content: 'Let me see.',
        tool_calls: [call('c1', 'f', '{"a":1}'), call('c2', 'g', '{}')],
      },
      { role: 'tool', content: '42', tool_call_id: 'c1' },
      { role: 'assistant', content: 'So.' },
      { role: 'assistant', content: 'And more.' },
    ]);
  });

  test('has its functions, its form and its limits in the words of chats', () => {
    const schema = { type: 'object' };
    const chat = chatOfResponses({
      model: 'm',
      input: 'x',
      max_output_tokens: 9,
      reasoning: { effort: 'low' },
      tools: [{ type: 'function', name: 'f', parameters: schema }, { type: 'web_search' }],
      tool_choice: 'required',
      text: { format: { type: 'json_schema', name: 'n', schema } },
    });
    expect(chat).toMatchObject({
      max_completion_tokens: 9,
      reasoning_effort: 'low',
      tools: [{ type: 'function', function: { name: 'f', parameters: schema } }],
      tool_choice: 'required',
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema } },
    });
    expect(chat?.tools).toHaveLength(1);
  });

  test('is none where an item is no message', () => {
    expect(chatOfResponses({ model: 'm', input: [{ type: 'item_reference', id: 'x' }] })).toBeUndefined();
    expect(chatOfResponses({ model: 'm', input: [] })).toBeUndefined();
  });
});

describe('an event of a response', () => {
  const read = (event: object) => readChunk(JSON.stringify(event));

  test('is a token where it brings text, arguments or thought', () => {
    for (const kind of ['output_text', 'function_call_arguments', 'reasoning_text'])
      expect(read({ type: `response.${kind}.delta`, delta: 'x' })).toMatchObject({
        tokens: 1,
        isLast: false,
      });
    expect(read({ type: 'response.output_text.done', text: 'x' })).toMatchObject({ tokens: 0 });
  });

  test('is the last one with the usage, or with what went wrong', () => {
    const usage = { input_tokens: 3, output_tokens: 2, input_tokens_details: { cached_tokens: 1 } };
    expect(read({ type: 'response.completed', response: { usage, error: null } })).toMatchObject({
      isLast: true,
      usage: { promptTokens: 3, completionTokens: 2, cachedTokens: 1 },
      error: undefined,
    });
    const error = { code: 'server_error', message: 'out of luck' };
    expect(read({ type: 'response.failed', response: { error } })).toMatchObject({
      isLast: true,
      error: { message: 'out of luck' },
    });
    expect(read({ type: 'error', code: '500', message: 'gone' })).toMatchObject({
      isLast: true,
      error: { message: 'gone', fault: 'engine' },
    });
    expect(read({ object: 'response', usage, output: [] })).toMatchObject({ usage: { cachedTokens: 1 } });
  });
});
