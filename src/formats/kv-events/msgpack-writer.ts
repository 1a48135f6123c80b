const START_BYTES = 1024;
/** A payload larger than this does not keep its buffer for the next one. */
const KEEP_BYTES = 1 << 20;

/** Writes msgpack into one reused buffer, every value in its shortest form as msgspec and msgpack do. */
export class MsgpackWriter {
  #bytes = new Uint8Array(START_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  readonly #utf8 = new TextEncoder();

  /** A copy of what was written; the writer is empty again. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    if (this.#bytes.length > KEEP_BYTES) this.#resize(START_BYTES);
    return taken;
  }

  nil(): void {
    this.#byte(0xc0);
  }

  array(length: number): void {
    this.#header(length, 0x90, 15, 0, 0xdc);
  }

  map(length: number): void {
    this.#header(length, 0x80, 15, 0, 0xde);
  }

  string(text: string): void {
    const encoded = this.#utf8.encode(text);
    this.#header(encoded.length, 0xa0, 31, 0xd9, 0xda);
    this.#append(encoded);
  }

  bytes(content: Uint8Array): void {
    this.#header(content.length, 0, -1, 0xc4, 0xc5);
    this.#append(content);
  }

  float64(value: number): void {
    this.#reserve(9);
    this.#bytes[this.#length] = 0xcb;
    this.#view.setFloat64(this.#length + 1, value);
    this.#length += 9;
  }

  /** An integer of at most 53 bits. */
  int(value: number): void {
    if (value >= 0) this.#uint(value);
    else if (value >= -32) this.#byte(value & 0xff);
    else this.#negative(value);
  }

  /** An integer from -2^63 to 2^64 - 1. */
  bigint(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) {
      this.int(number);
      return;
    }
    this.#reserve(9);
    this.#bytes[this.#length] = value < 0n ? 0xd3 : 0xcf;
    this.#view.setBigUint64(this.#length + 1, BigInt.asUintN(64, value));
    this.#length += 9;
  }

  /** A u64 in nine bytes, however small it is. */
  wideU64(value: bigint): void {
    this.#reserve(9);
    this.#bytes[this.#length] = 0xcf;
    this.#view.setBigUint64(this.#length + 1, value);
    this.#length += 9;
  }

  u32s(values: Uint32Array): void {
    this.array(values.length);
    this.#reserve(5 * values.length);
    for (const value of values) this.#uint(value);
  }

  /** Plain data: nulls, booleans, numbers, bigints, texts, bytes, lists and objects of them. */
  value(value: unknown): void {
    if (value === null || value === undefined) this.nil();
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === 'number') Number.isSafeInteger(value) ? this.int(value) : this.float64(value);
    else if (typeof value === 'bigint') this.bigint(value);
    else if (typeof value === 'string') this.string(value);
    else if (value instanceof Uint8Array) this.bytes(value);
    else if (Array.isArray(value)) {
      this.array(value.length);
      for (const item of value) this.value(item);
    } else {
      const entries = Object.entries(value);
      this.map(entries.length);
      for (const [key, item] of entries) {
        this.string(key);
        this.value(item);
      }
    }
  }

  #uint(value: number): void {
    this.#reserve(9);
    const at = this.#length;
    if (value < 0x80) {
      this.#bytes[at] = value;
      this.#length += 1;
    } else if (value <= 0xff) {
      this.#bytes[at] = 0xcc;
      this.#bytes[at + 1] = value;
      this.#length += 2;
    } else if (value <= 0xffff) {
      this.#bytes[at] = 0xcd;
      this.#view.setUint16(at + 1, value);
      this.#length += 3;
    } else if (value <= 0xffffffff) {
      this.#bytes[at] = 0xce;
      this.#view.setUint32(at + 1, value);
      this.#length += 5;
    } else this.wideU64(BigInt(value));
  }

  #negative(value: number): void {
    this.#reserve(9);
    const at = this.#length;
    if (value >= -0x80) {
      this.#bytes[at] = 0xd0;
      this.#view.setInt8(at + 1, value);
      this.#length += 2;
    } else if (value >= -0x8000) {
      this.#bytes[at] = 0xd1;
      this.#view.setInt16(at + 1, value);
      this.#length += 3;
    } else if (value >= -0x80000000) {
      this.#bytes[at] = 0xd2;
      this.#view.setInt32(at + 1, value);
      this.#length += 5;
    } else {
      this.#bytes[at] = 0xd3;
      this.#view.setBigInt64(at + 1, BigInt(value));
      this.#length += 9;
    }
  }

  /** `narrow` is the form with one length byte, 0 where there is none; `wide` the one with two. */
  #header(length: number, fix: number, fixMax: number, narrow: number, wide: number): void {
    this.#reserve(5);
    const at = this.#length;
    if (length <= fixMax) {
      this.#bytes[at] = fix | length;
      this.#length += 1;
    } else if (narrow !== 0 && length <= 0xff) {
      this.#bytes[at] = narrow;
      this.#bytes[at + 1] = length;
      this.#length += 2;
    } else if (length <= 0xffff) {
      this.#bytes[at] = wide;
      this.#view.setUint16(at + 1, length);
      this.#length += 3;
    } else {
      this.#bytes[at] = wide + 1;
      this.#view.setUint32(at + 1, length);
      this.#length += 5;
    }
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  #append(content: Uint8Array): void {
    this.#reserve(content.length);
    this.#bytes.set(content, this.#length);
    this.#length += content.length;
  }

  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, 2 * this.#bytes.length));
  }

  #resize(size: number): void {
    const grown = new Uint8Array(size);
    grown.set(this.#bytes.subarray(0, Math.min(this.#length, size)));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}
