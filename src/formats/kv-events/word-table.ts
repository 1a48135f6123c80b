/** A fixed set of ASCII words that are recognised in a payload without decoding or allocating. */
export class WordTable {
  readonly #byLength: { readonly word: string; readonly bytes: Uint8Array }[][] = [];

  constructor(words: readonly string[]) {
    for (const word of words) {
      this.#byLength[word.length] ??= [];
      this.#byLength[word.length]!.push({ word, bytes: new TextEncoder().encode(word) });
    }
  }

  /** The word that `bytes` hold from `start` to before `end`, if it is one of the set. */
  find(bytes: Uint8Array, start: number, end: number): string | undefined {
    const candidates = this.#byLength[end - start];
    if (candidates === undefined) return undefined;
    for (const candidate of candidates) {
      if (sameBytes(candidate.bytes, bytes, start)) return candidate.word;
    }
    return undefined;
  }
}

function sameBytes(word: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < word.length; i++) if (word[i] !== bytes[start + i]) return false;
  return true;
}
