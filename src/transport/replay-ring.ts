/** A numbered message, kept so that consumers who missed it can have it again. */
export interface RingEntry {
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** The most recent messages of one publisher, bounded in number and in bytes. */
export class ReplayRing {
  readonly #entries: (RingEntry | undefined)[];
  readonly #maxBytes: number;
  #first = 0;
  #length = 0;
  #bytes = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.#entries = Array(Math.max(1, maxEntries));
    this.#maxBytes = maxBytes;
  }

  get length(): number {
    return this.#length;
  }

  /** -1 while empty. */
  get lastSeq(): number {
    const oldest = this.#entries[this.#first];
    return oldest === undefined ? -1 : oldest.seq + this.#length - 1;
  }

  /** Sequence numbers must rise by one. */
  push(seq: number, payload: Uint8Array): void {
    if (this.#length === this.#entries.length) this.#dropOldest();
    this.#entries[(this.#first + this.#length) % this.#entries.length] = { seq, payload };
    this.#length++;
    this.#bytes += payload.length;
    while (this.#bytes > this.#maxBytes && this.#length > 1) this.#dropOldest();
  }

  /** Forgets all, so that any number may come next. */
  clear(): void {
    while (this.#length > 0) this.#dropOldest();
  }

  /** The oldest message whose number is at least `seq`; the last one pushed bounds the walk. O(1). */
  from(seq: number): RingEntry | undefined {
    const oldest = this.#entries[this.#first];
    if (oldest === undefined) return undefined;
    const offset = Math.max(0, seq - oldest.seq);
    return offset < this.#length ? this.#entries[(this.#first + offset) % this.#entries.length] : undefined;
  }

  #dropOldest(): void {
    this.#bytes -= this.#entries[this.#first]!.payload.length;
    this.#entries[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#entries.length;
    this.#length--;
  }
}
