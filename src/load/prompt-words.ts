import { fail } from '../base/errors.ts';
import { BlockTokens } from '../formats/traces/block-tokens.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
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

/** Writes prompts of exactly planned lengths, equal for equal ids. */
export class PromptWriter {
  readonly #tokens: BlockTokens;
  readonly #lexicon: Lexicon | undefined;
  readonly #firstId: number;

  /** With a lexicon: texts. Without: token ids of `[firstId, firstId + size)`. */
  constructor(options: {
    readonly seed: number;
    readonly lexicon?: Lexicon | undefined;
    readonly ids?: { readonly first: number; readonly size: number } | undefined;
  }) {
    const size = options.lexicon?.words.length ?? options.ids?.size ?? 95;
    this.#tokens = new BlockTokens({ seed: options.seed, size });
    this.#lexicon = options.lexicon;
    this.#firstId = options.ids?.first ?? 32;
  }

  /** Token ids of the prompt. O(tokens). */
  ids(prompt: PromptPlan, length: number): Uint32Array {
    const indices = this.#indices(prompt, length);
    for (let i = 0; i < indices.length; i++) indices[i]! += this.#firstId;
    return indices;
  }

  /** The prompt as text; ids need a lexicon for it. */
  text(prompt: PromptPlan, length: number): string {
    if (prompt.kind === 'text') return prompt.text;
    const { words, separator } = this.#lexicon ?? BYTE_LEXICON;
    const indices = this.#indices(prompt, length);
    const parts = new Array<string>(indices.length);
    for (let i = 0; i < indices.length; i++) parts[i] = words[indices[i]! % words.length]!;
    return parts.join(separator);
  }

  #indices(prompt: PromptPlan, length: number): Uint32Array {
    if (prompt.kind === 'text') return new Uint32Array(0);
    const indices = new Uint32Array(length);
    if (prompt.kind === 'blocks') {
      const filled = this.#tokens.fill(prompt.ids, length, prompt.blockSize, indices);
      return filled === length ? indices : indices.slice(0, filled);
    }
    let at = 0;
    for (const part of prompt.parts) {
      at += this.#tokens.fill([part.id], part.length, part.length, indices.subarray(at, at + part.length));
    }
    return at === length ? indices : indices.slice(0, at);
  }
}
