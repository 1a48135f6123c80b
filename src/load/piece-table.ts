/** Words as bytes, laid end to end with their separator: a prompt is written by copying, without making strings. */
export class PieceTable {
  readonly #bytes: Buffer;
  /** Where piece i begins; one more entry marks the end of the last. */
  readonly #starts: Uint32Array;
  readonly #separatorLength: number;
  readonly #longest: number;

  /** Pieces are ASCII and need no escaping in JSON. */
  constructor(words: readonly string[], separator: string) {
    const pieces = words.map((word) => word + separator);
    this.#bytes = Buffer.from(pieces.join(''), 'latin1');
    this.#starts = new Uint32Array(words.length + 1);
    pieces.forEach((piece, i) => {
      this.#starts[i + 1] = this.#starts[i]! + piece.length;
    });
    this.#separatorLength = separator.length;
    this.#longest = pieces.reduce((longest, piece) => Math.max(longest, piece.length), 0);
  }

  get size(): number {
    return this.#starts.length - 1;
  }

  /** The words of these indices, separated. O(bytes). */
  write(indices: Uint32Array): Buffer {
    const into = Buffer.allocUnsafe(indices.length * this.#longest);
    const bytes = this.#bytes;
    const starts = this.#starts;
    let at = 0;
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]!;
      const end = starts[index + 1]!;
      for (let from = starts[index]!; from < end; from++) into[at++] = bytes[from]!;
    }
    return into.subarray(0, Math.max(0, at - this.#separatorLength));
  }
}
