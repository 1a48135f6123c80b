import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { mergingByWords } from './word-merging.ts';

const PREPEND = {
  type: 'Sequence',
  normalizers: [
    { type: 'Prepend', prepend: '▁' },
    { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  ],
};
const METASPACE = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false };
const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** A model of SentencePiece's kind with few merges; `more` are further tokens, each made of two others. */
function sentencePiece(pre: object | null, more: readonly (readonly [string, string])[] = []): object {
  const merges = [
    ['▁', '▁'],
    ['a', 'b'],
    ['▁', 'ab'],
    ['▁▁', 'a'],
    ['b', 'a'],
    ['▁▁', '▁▁'],
    ['ab', 'a'],
    ...more,
  ];
  const tokens = [
    '<unk>',
    '<s>',
    '</s>',
    ...BYTES,
    '▁',
    'a',
    'b',
    '.',
    ...merges.map((pair) => pair.join('')),
  ];
  const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });
  return {
    added_tokens: [special(1, '<s>'), special(2, '</s>')],
    normalizer: pre === null ? PREPEND : null,
    pre_tokenizer: pre,
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

const texts = fc
  .array(fc.constantFrom('a', 'b', 'ab', ' ', '  ', '▁', '.', '\n', 'é', '日', '😀', '<s>', '</s>'), {
    maxLength: 60,
  })
  .map((pieces) => pieces.join(''));

describe('merging by words', () => {
  test.each([null, METASPACE])('gives the ids that merging over the whole text gives: %j', (pre) => {
    const json = sentencePiece(pre);
    const changed = mergingByWords(json);
    expect(changed).not.toBe(json);
    const [whole, words] = [new Tokenizer(json, {}), new Tokenizer(changed, {})];
    fc.assert(
      fc.property(texts, (text) => {
        expect(words.encode(text).ids).toEqual(whole.encode(text).ids);
      }),
      { numRuns: 1000 },
    );
  });

  test('leaves models alone whose tokens reach into the next word', () => {
    const json = sentencePiece(null, [['b', '▁']]);
    expect(mergingByWords(json)).toBe(json);
    // And rightly so.
    const words = {
      ...json,
      pre_tokenizer: (mergingByWords(sentencePiece(null)) as { pre_tokenizer: object }).pre_tokenizer,
    };
    expect(new Tokenizer(words, {}).encode('b a').ids).not.toEqual(new Tokenizer(json, {}).encode('b a').ids);
  });

  test.each([
    [{ type: 'ByteLevel' }, 'BPE'],
    [null, 'Unigram'],
  ])('leaves other kinds of models alone: %j, %s', (pre, type) => {
    const json = { pre_tokenizer: pre, model: { type, vocab: { '▁': 0, a: 1 } } };
    expect(mergingByWords(json)).toBe(json);
  });

  const published = sharedFile('data/tokenizers/tinyllama-v1.1.tokenizer.json.gz');
  test.skipIf(published === undefined)('changes nothing in the ids of a published model', () => {
    const json = JSON.parse(gunzipSync(readFileSync(published!)).toString());
    const [whole, words] = [new Tokenizer(json, {}), new Tokenizer(mergingByWords(json), {})];
    const guide = readFileSync(new URL('../../docs/guides/sla-profiler.md', import.meta.url), 'utf8');
    for (const text of [guide, '  x   y \n\n z', 'é日😀▁ ▁', ''])
      expect(words.encode(text).ids).toEqual(whole.encode(text).ids);
  });
});
