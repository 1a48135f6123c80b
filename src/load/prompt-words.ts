import { fail } from '../base/errors.ts';
import { BlockTokens } from '../formats/traces/block-tokens.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { PieceTable } from './piece-table.ts';
import type { PromptPlan } from './plan.ts';

/** Words of which each is one token wherever it stands, so that a text of n words is n tokens. */
export interface Lexicon {
  readonly words: readonly string[];
  readonly separator: string;
}

/** One printable ASCII character a token: exact for byte tokenizers. No quote or backslash, which JSON escapes. */
const BYTE_LEXICON: Lexicon = {
  words: [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .'],
  separator: '',
};

// Enough for blocks never to collide; more only makes the search slower.
const WANTED_WORDS = 2048;
const MIN_WORDS = 16;

/** Lower-case words of a tokenizer's vocabulary that stay one token each when joined by spaces. */
export function tokenizerLexicon(tokenizer: Tokenizer): Lexicon {
  const single = new Set<string>();
  const lead = tokenizer.encode('a').length - 1;
  for (let id = 0; id < tokenizer.vocabSize && single.size < 2 * WANTED_WORDS; id++) {
    const word = tokenizer.decode([id]).trim();
    if (!/^[a-z]{2,12}$/.test(word) || single.has(word)) continue;
    // At the start and after a space, since vocabularies often have only one of both.
    const alone = tokenizer.encode(word).length - lead;
    if (alone === 1 && tokenizer.encode(`${word} ${word}`).length - lead === 2) single.add(word);
  }
  const words = [...single].slice(0, WANTED_WORDS);
  const text = words.join(' ');
  if (words.length < MIN_WORDS || tokenizer.encode(text).length - lead !== words.length) {
    throw fail('KV_LOAD_LEXICON', { words: words.length });
  }
  return { words, separator: ' ' };
}

/** Writes prompts of exactly planned lengths, equal for equal ids: as token ids or as text. */
export class PromptWriter {
  readonly #options: PromptWriterOptions;
  // Made when first used: a table of ids costs a millisecond, and most runs need one of both.
  #ids: WordSource | undefined;
  #text: WordSource | undefined;

  constructor(options: PromptWriterOptions) {
    this.#options = options;
  }

  /** Token ids as they stand between the brackets of a JSON array. O(tokens). */
  ids(prompt: PromptPlan, length: number): Buffer {
    this.#ids ??= idSource(this.#options);
    return this.#ids.table.write(indicesOf(prompt, length, this.#ids.tokens));
  }

  /** The prompt as text between the quotes of a JSON string. */
  text(prompt: PromptPlan, length: number): Buffer {
    if (prompt.kind === 'text') return Buffer.from(JSON.stringify(prompt.text).slice(1, -1));
    this.#text ??= wordSource(this.#options.seed, this.#options.lexicon ?? BYTE_LEXICON);
    return this.#text.table.write(indicesOf(prompt, length, this.#text.tokens));
  }
}

export interface PromptWriterOptions {
  readonly seed: number;
  /** Words of texts; single characters when absent, which is exact for byte tokenizers. */
  readonly lexicon?: Lexicon | undefined;
  /** Token ids `[first, first + size)`; those of printable ASCII in byte vocabularies when absent. */
  readonly ids?: { readonly first: number; readonly size: number } | undefined;
}

interface WordSource {
  readonly tokens: BlockTokens;
  readonly table: PieceTable;
}

function idSource({ seed, ids = { first: 32, size: 95 } }: PromptWriterOptions): WordSource {
  const words = Array.from({ length: ids.size }, (_, i) => String(ids.first + i));
  return wordSource(seed, { words, separator: ',' });
}

function wordSource(seed: number, { words, separator }: Lexicon): WordSource {
  return { tokens: new BlockTokens({ seed, size: words.length }), table: new PieceTable(words, separator) };
}

function indicesOf(prompt: PromptPlan, length: number, tokens: BlockTokens): Uint32Array {
  if (prompt.kind === 'text') return new Uint32Array(0);
  const indices = new Uint32Array(length);
  if (prompt.kind === 'blocks') {
    return indices.subarray(0, tokens.fill(prompt.ids, length, prompt.blockSize, indices));
  }
  let at = 0;
  for (const part of prompt.parts) {
    at += tokens.fill([part.id], part.length, part.length, indices.subarray(at, at + part.length));
  }
  return indices.subarray(0, at);
}
