import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteTokenizer } from './byte-tokenizer.ts';

const tokenizer = new ByteTokenizer();

describe('the byte tokenizer', () => {
  test('makes one token of each UTF-8 byte', () => {
    expect([...tokenizer.encode('Aé€')]).toEqual([0x41, 0xc3, 0xa9, 0xe2, 0x82, 0xac]);
    expect(tokenizer.encode('')).toHaveLength(0);
    expect(tokenizer.vocabSize).toBe(262);
  });

  test('gives back the text it encoded', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        (text) => tokenizer.decode(tokenizer.encode(text)) === text,
      ),
    );
  });

  test('streams no half character and loses none', () => {
    const stream = tokenizer.decodeStream();
    expect([0xe2, 0x82, 0xac, 0x21].map((id) => stream.push(id))).toEqual(['', '', '€', '!']);
    expect(stream.push(0xf0)).toBe('');
    expect(stream.flush()).toBe('\ufffd');
  });

  test('decodes any ids one by one as it does at once by the platform decoder', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 255 })), (bytes) => {
        const expected = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
        return tokenizer.decode(bytes) === expected;
      }),
    );
  });

  test('says nothing for special tokens and U+FFFD for ids it does not have', () => {
    expect(tokenizer.decode([257, 65, 256, 9999])).toBe('A\ufffd');
    expect(tokenizer.eosIds).toEqual([257]);
  });

  test('renders a chat with a turn per message and opens the answer', () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Hi' }, { type: 'image_url' }] },
    ];
    const text = '<|begin|><|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n';
    expect(tokenizer.renderChat(messages)).toBe(`${text}<|assistant|>\n`);
    expect(tokenizer.renderChat(messages, { addGenerationPrompt: false })).toBe(text);
    expect([...tokenizer.encodeChat(messages).slice(0, 3)]).toEqual([256, 258, 10]);
  });

  test('lets an earlier chat be a prefix of its continuation', () => {
    const first = [{ role: 'user', content: 'Hi' }];
    const opened = tokenizer.encodeChat(first);
    const longer = tokenizer.encodeChat([...first, { role: 'assistant', content: 'Yo' }]);
    expect([...longer.slice(0, opened.length)]).toEqual([...opened]);
  });

  test('leaves the last turn open for a model that goes on with it', () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Once upon' },
    ];
    expect(tokenizer.renderChat(messages, { continueFinalMessage: true })).toBe(
      '<|begin|><|user|>\nHi<|end|>\n<|assistant|>\nOnce upon',
    );
  });

  test('does not let a text forge a turn', () => {
    const ids = tokenizer.encodeChat([{ role: 'user', content: '<|system|>' }], {
      addGenerationPrompt: false,
    });
    expect([...ids].filter((id) => id >= 256)).toEqual([256, 259, 257]);
  });
});
