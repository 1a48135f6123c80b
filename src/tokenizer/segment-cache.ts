/** A token that is found in texts before anything else is, and so parts them. */
export interface PartingToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
  readonly single_word?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly normalized?: boolean;
}

const MAX_CACHED_CHARS = 16 * 1024 * 1024;
/** Below this, encoding costs no more than looking up. */
const MIN_CACHED_CHARS = 64;

/**
 * Encodes texts piece by piece between special tokens, and remembers the pieces: of a growing chat only what is
 * new is encoded. Exact, as no tokenizer merges across a special token; a model whose special tokens touch
 * their neighbours (stripping, whole words) is encoded as one piece. Bounded by the characters kept.
 */
export class SegmentCache {
  readonly #parting: RegExp | undefined;
  readonly #encode: (text: string) => readonly number[];
  readonly #pieces = new Map<string, Uint32Array>();
  #chars = 0;

  constructor(added: readonly PartingToken[], encode: (text: string) => readonly number[]) {
    const special = added.filter((token) => token.special === true && token.content !== '');
    const plain = special.every(
      (token) => !token.single_word && !token.lstrip && !token.rstrip && !token.normalized,
    );
    this.#encode = encode;
    this.#parting = plain && special.length > 0 ? partingBefore(special) : undefined;
  }

  encode(text: string): Uint32Array {
    if (this.#parting === undefined) return Uint32Array.from(this.#encode(text));
    const pieces = text.split(this.#parting).map((piece, at) => this.#piece(piece, at === 0));
    const ids = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      ids.set(piece, at);
      at += piece.length;
    }
    return ids;
  }

  /** A piece begins with its special token, but for the first: some models treat the start of a text apart. */
  #piece(text: string, first: boolean): Uint32Array {
    if (text.length < MIN_CACHED_CHARS) return Uint32Array.from(this.#encode(text));
    const key = first ? `^${text}` : text;
    const known = this.#pieces.get(key);
    if (known !== undefined) {
      // Last in the order of insertion: the oldest use goes first.
      this.#pieces.delete(key);
      this.#pieces.set(key, known);
      return known;
    }
    const ids = Uint32Array.from(this.#encode(text));
    this.#pieces.set(key, ids);
    this.#chars += key.length;
    this.#evict();
    return ids;
  }

  #evict(): void {
    for (const key of this.#pieces.keys()) {
      if (this.#chars <= MAX_CACHED_CHARS) return;
      this.#pieces.delete(key);
      this.#chars -= key.length;
    }
  }
}

/** Matches the empty place before each special token. */
function partingBefore(tokens: readonly PartingToken[]): RegExp {
  const escaped = tokens
    .map(({ content }) => content.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'))
    .sort((a, b) => b.length - a.length);
  return new RegExp(`(?=${escaped.join('|')})`, 'u');
}
