import { mix32 } from '../../base/random.ts';
import { Column } from './column.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** First byte of an entry: what the rest is. */
const [TEXT, PACKED] = [0, 1];

/** A growing column of short texts outside the JavaScript heap: their UTF-8 bytes and 9 more, UUIDs 25 bytes in all. */
export class TextColumn {
  #bytes = Buffer.alloc(1 << 12);
  #used = 0;
  readonly #ends = new Column();

  get length(): number {
    return this.#ends.length;
  }

  push(text: string): void {
    while (this.#used + 1 + text.length * 3 > this.#bytes.length) this.#grow();
    const packed = text.length === 36 && UUID.test(text);
    this.#bytes[this.#used++] = packed ? PACKED : TEXT;
    this.#used += packed
      ? this.#bytes.write(text.replaceAll('-', ''), this.#used, 'hex')
      : this.#bytes.write(text, this.#used, 'utf8');
    this.#ends.push(this.#used);
  }

  at(index: number): string {
    const from = this.#start(index);
    const end = this.#ends.at(index);
    if (this.#bytes[from] === TEXT) return this.#bytes.toString('utf8', from + 1, end);
    const hex = this.#bytes.toString('hex', from + 1, end);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  /** False when all texts differ; true when two are equal, or one time in a hundred thousand without. */
  mayRepeat(): boolean {
    const hashes = new Float64Array(this.length);
    for (let i = 0; i < hashes.length; i++) hashes[i] = this.#hash(i);
    hashes.sort();
    for (let i = 1; i < hashes.length; i++) if (hashes[i] === hashes[i - 1]) return true;
    return false;
  }

  #start(index: number): number {
    return index === 0 ? 0 : this.#ends.at(index - 1);
  }

  /** 53 bits. */
  #hash(index: number): number {
    let low = 0x811c9dc5;
    let high = 0x9e3779b9;
    const end = this.#ends.at(index);
    for (let i = this.#start(index); i < end; i++) {
      const byte = this.#bytes[i]!;
      low = Math.imul(low ^ byte, 0x01000193);
      high = Math.imul(high + byte, 0x85ebca6b) ^ (high >>> 13);
    }
    return (mix32(high) & 0x1fffff) * 2 ** 32 + mix32(low);
  }

  #grow(): void {
    const grown = Buffer.alloc(this.#bytes.length * 2);
    this.#bytes.copy(grown, 0, 0, this.#used);
    this.#bytes = grown;
  }
}
