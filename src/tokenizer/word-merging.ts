/** Words with the spaces before them, and spaces at the end; `▁` is a space in the vocabularies of SentencePiece. */
const WORDS = '▁*[^▁]+|▁+';
const SPACE_WITHIN = /[^▁]▁/u;

interface TokenizerJson {
  readonly model?: {
    readonly type?: unknown;
    readonly vocab?: Readonly<Record<string, number>>;
    readonly merges?: unknown;
  };
  readonly pre_tokenizer?: { readonly type?: unknown } | null;
}

/**
 * The `tokenizer.json` of a model of SentencePiece that merges over a whole text, changed to merge word by word: the
 * library remembers words, and is many times faster. The ids stay the same, as it is done only where no token has a
 * space behind anything else, so that no merge reaches into the next word. All others come back as they are.
 */
export function mergingByWords(tokenizer: object): object {
  const { model, pre_tokenizer: before } = tokenizer as TokenizerJson;
  if (model?.type !== 'BPE' || model.vocab === undefined) return tokenizer;
  if (before != null && before.type !== 'Metaspace') return tokenizer;
  const tokens = Object.keys(model.vocab);
  if (!tokens.some((token) => token.startsWith('▁')) || tokens.some((token) => SPACE_WITHIN.test(token)))
    return tokenizer;
  const words = { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: true };
  return {
    ...tokenizer,
    pre_tokenizer: before == null ? words : { type: 'Sequence', pretokenizers: [before, words] },
  };
}
