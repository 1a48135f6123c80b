import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as LibraryModel } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { tinyTokenizer } from '../../test/support/tiny-tokenizer.ts';
import { LibraryTokenizer } from './library-tokenizer.ts';
import { type PartingToken, SegmentCache } from './segment-cache.ts';

const TEMPLATE =
  "{% for m in messages %}<|turn|>{{ m.role }} {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|turn|>assistant {% endif %}{{ note | default('') }}{% if messages[0].role == 'robot' %}{{ raise_exception('no robots') }}{% endif %}";
const CONFIG = { bos_token: '<s>', eos_token: { content: '</s>' }, chat_template: TEMPLATE };
const chat = [
  { role: 'user', content: 'ab ab' },
  { role: 'assistant', content: 'é' },
];

describe('a library tokenizer', () => {
  const tokenizer = new LibraryTokenizer({ tokenizer: tinyTokenizer(), config: CONFIG });

  test('knows its special tokens and the size of its vocabulary', () => {
    expect(tokenizer.vocabSize).toBe(261);
    expect(tokenizer.bosId).toBe(256);
    expect(tokenizer.eosIds).toEqual([257]);
  });

  test('encodes as the model says, merges and special tokens included', () => {
    expect([...tokenizer.encode('ab')]).toEqual([259]);
    expect([...tokenizer.encodeRendered('ab</s>b')]).toEqual([259, 257, 98]);
  });

  test('renders chats by the template, with its variables', () => {
    expect(tokenizer.renderChat(chat)).toBe(
      '<|turn|>user ab ab</s><|turn|>assistant é</s><|turn|>assistant ',
    );
    const options = { addGenerationPrompt: false, variables: { note: 'N' } };
    expect(tokenizer.renderChat(chat, options)).toBe('<|turn|>user ab ab</s><|turn|>assistant é</s>N');
  });

  test('leaves the last turn open for a model that goes on with it', () => {
    expect(tokenizer.renderChat(chat, { continueFinalMessage: true })).toBe(
      '<|turn|>user ab ab</s><|turn|>assistant é',
    );
  });

  test('refuses what the template refuses, and chats without a template', () => {
    expect(() => tokenizer.renderChat([{ role: 'robot', content: '' }])).toThrow(
      /the chat template refuses them: no robots/,
    );
    const bare = new LibraryTokenizer({ tokenizer: tinyTokenizer() });
    expect(() => bare.encodeChat(chat)).toThrow(/the model has no chat template/);
    expect(() => new LibraryTokenizer({ tokenizer: {} })).toThrow(/the tokenizer cannot be used/);
    const broken = { ...CONFIG, chat_template: '{% for %}' };
    expect(() => new LibraryTokenizer({ tokenizer: tinyTokenizer(), config: broken })).toThrow(
      /cannot be parsed/,
    );
  });

  test('takes a template from its own file first, or from a list of named ones', () => {
    const named = [
      { name: 'tool_use', template: 'T' },
      { name: 'default', template: 'D' },
    ];
    const config = { ...CONFIG, chat_template: named };
    expect(new LibraryTokenizer({ tokenizer: tinyTokenizer(), config }).renderChat(chat)).toBe('D');
    const files = { tokenizer: tinyTokenizer(), config, chatTemplate: 'J' };
    expect(new LibraryTokenizer(files).renderChat(chat)).toBe('J');
  });

  test('streams text that is certain and no half character', () => {
    const stream = tokenizer.decodeStream();
    const ids = [...tokenizer.encode('aé€b')];
    expect(ids.map((id) => stream.push(id))).toEqual(['a', '', 'é', '', '', '€', 'b']);
    expect(stream.flush()).toBe('');
    expect([0xe2, 257].map((id) => stream.push(id))).toEqual(['', '']);
    expect(stream.flush()).toBe('\ufffd');
  });

  test('gives back what it encoded, at once and as a stream', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const ids = tokenizer.encode(text);
        const stream = tokenizer.decodeStream();
        let streamed = '';
        for (const id of ids) streamed += stream.push(id);
        expect([tokenizer.decode(ids), streamed + stream.flush()]).toEqual([text, text]);
      }),
      { numRuns: 50 },
    );
  });
});

describe('the cache of segments', () => {
  const special = (content: string, more: Partial<PartingToken> = {}): PartingToken => ({
    id: 0,
    content,
    special: true,
    ...more,
  });
  /** A cache, and what it had to encode. */
  function counted(added: readonly PartingToken[]) {
    const asked: string[] = [];
    const cache = new SegmentCache(added, (text) => {
      asked.push(text);
      return [...Buffer.from(text)];
    });
    return { cache, asked };
  }
  const turn = (name: string): string => `<|t|>${name.repeat(100)}`;

  test('encodes only the new turns of a growing chat', () => {
    const { cache, asked } = counted([special('<|t|>')]);
    cache.encode(turn('a') + turn('b'));
    const ids = cache.encode(turn('a') + turn('b') + turn('c'));
    expect(asked).toEqual([turn('a'), turn('b'), turn('c')]);
    expect(Buffer.from(ids).toString()).toBe(turn('a') + turn('b') + turn('c'));
  });

  test('leaves texts whole for tokens that touch their neighbours', () => {
    const { cache, asked } = counted([special('<|t|>', { lstrip: true })]);
    cache.encode(turn('a') + turn('b'));
    expect(asked).toEqual([turn('a') + turn('b')]);
  });

  test('parts by the longest of tokens that begin alike', () => {
    const { cache, asked } = counted([special('<a>'), special('<a>.b')]);
    cache.encode('x<a>.by<a>z');
    expect(asked).toEqual(['x', '<a>.by', '<a>z']);
  });
});

const shared = sharedFile('data/tokenizers/tinyllama-v1.1.tokenizer.json.gz');

describe.skipIf(shared === undefined)('the tokenizer of TinyLlama', () => {
  const json = shared === undefined ? {} : JSON.parse(gunzipSync(readFileSync(shared)).toString());
  const make = () => new LibraryTokenizer({ tokenizer: json, config: CONFIG });

  test('encodes known texts to known ids', () => {
    const tokenizer = make();
    expect(tokenizer.vocabSize).toBe(32_000);
    expect([...tokenizer.encode('Hello world')]).toEqual([1, 15043, 3186]);
    expect(tokenizer.decode(tokenizer.encode('Hello  world €😀!'))).toBe('Hello  world €😀!');
  });

  test('gives the same ids from segments as from the whole text, and streams what it decodes', () => {
    const tokenizer = make();
    const model = new LibraryModel(json, CONFIG);
    const words = 'Kvasir routes requests by what engines have cached, naïve 中文字 and 😀 too. '.repeat(3);
    const text = `<s>user: ${words}</s><s>assistant: ${words}</s><s>user: ok</s>`;
    const whole = model.encode(text, { add_special_tokens: false }).ids;
    for (let round = 0; round < 2; round++) expect([...tokenizer.encodeRendered(text)]).toEqual(whole);
    const stream = tokenizer.decodeStream();
    let streamed = '';
    for (const id of tokenizer.encode(words)) streamed += stream.push(id);
    expect(streamed + stream.flush()).toBe(words);
  });
});
