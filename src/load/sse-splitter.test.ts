import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunkFacts, chunkText } from './chunk-facts.ts';
import { SseSplitter } from './sse-splitter.ts';

const split = (bytes: Buffer, cuts: readonly number[]): string[] => {
  const events: string[] = [];
  const splitter = new SseSplitter();
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    splitter.push(bytes.subarray(from, cut), (data) => events.push(data));
    from = Math.max(from, cut);
  }
  splitter.push(bytes.subarray(from), (data) => events.push(data));
  splitter.end((data) => events.push(data));
  return events;
};

describe('the splitter', () => {
  test('gives the events that eventsource-parser gives, at any chunk borders', () => {
    const line = fc.oneof(
      fc.stringMatching(/^data: ?[ -~]{0,12}$/),
      fc.constantFrom(': ping', 'event: x', 'id: 7', 'data', 'retry: 10'),
    );
    const text = fc
      .tuple(fc.array(fc.array(line, { maxLength: 3 })), fc.constantFrom('\n', '\r\n'))
      .map(([events, newline]) => events.map((lines) => [...lines, '', ''].join(newline)).join(''));
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 6 }), (stream, cuts) => {
        const expected: string[] = [];
        createParser({ onEvent: ({ data }) => expected.push(data) }).feed(stream);
        const bytes = Buffer.from(stream);
        expect(
          split(
            bytes,
            cuts.map((cut) => Math.min(cut, bytes.length)),
          ),
        ).toEqual(expected);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test('gives the last event of a stream that lacks its blank line', () => {
    expect(split(Buffer.from('data: a\n\ndata: b'), [3])).toEqual(['a', 'b']);
  });
});

describe('facts of a chunk', () => {
  const facts = (chunk: unknown) => chunkFacts(Buffer.from(JSON.stringify(chunk)).toString('latin1'));
  const delta = (fields: object) => ({ choices: [{ index: 0, delta: fields, finish_reason: null }] });

  test.each([
    [delta({ role: 'assistant', content: '' }), false],
    [delta({ content: 'a' }), true],
    [delta({ content: '"' }), true],
    [delta({ reasoning_content: 'hm' }), true],
    [delta({ tool_calls: [{ index: 0, function: { name: 'f' } }] }), true],
    [delta({ tool_calls: [] }), false],
    [{ choices: [{ index: 0, text: 'x' }] }, true],
    [{ choices: [{ index: 0, text: '' }] }, false],
  ])('%j has content: %s', (chunk, content) => {
    expect(facts(chunk)).toMatchObject({ choices: true, content });
  });

  test('are not fooled by keys inside the generated text', () => {
    const text = '{"choices":[],"usage":{"prompt_tokens":1},"error":"x","finish_reason":"stop"}';
    expect(facts(delta({ content: text }))).toEqual({
      choices: true,
      content: true,
      finishReason: undefined,
    });
    expect(chunkText(Buffer.from(JSON.stringify(delta({ content: 'ü"' }))).toString('latin1'))).toBe('ü"');
  });

  test('read usage with and without choices, null usage being none', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } };
    expect(facts({ choices: [], usage })).toMatchObject({
      choices: false,
      usage: { promptTokens: 9, completionTokens: 3, cachedTokens: 8 },
    });
    expect(facts({ ...delta({ content: 'a' }), usage })).toMatchObject({
      content: true,
      usage: { cachedTokens: 8 },
    });
    expect(facts({ ...delta({ content: 'a' }), usage: null }).usage).toBeUndefined();
  });

  test('name errors of every shape', () => {
    expect(facts({ error: { message: 'Internal server error', code: 500 } }).error).toBe(
      'Internal server error',
    );
    expect(facts({ error: 'Unauthorized' }).error).toBe('Unauthorized');
  });
});
