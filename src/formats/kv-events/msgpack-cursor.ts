import { WordTable } from './word-table.ts';

/** What the next value is, by its first byte. */
export type ValueKind =
  | 'nil'
  | 'bool'
  | 'int'
  | 'float'
  | 'string'
  | 'bytes'
  | 'array'
  | 'map'
  | 'ext'
  | 'none';

const KINDS: readonly ValueKind[] = Array.from({ length: 256 }, (_, byte) => kindOf(byte));
/** Bytes after the first that a scalar of 0xc0-0xdf takes; strings, bytes and ext add their own length. */
const FIXED_SIZE = [
  0, 0, 0, 0, 1, 2, 4, 2, 3, 5, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 1, 2, 4, 2, 4, 2, 4,
] as const;
const MAX_DEPTH = 16;
const NO_WORDS = new WordTable([]);

/**
 * Reads msgpack in place. A read that meets another type, or the end, returns its sentinel and leaves the
 * position unspecified: the caller goes back to a position it kept and skips, or gives up.
 */
export class MsgpackCursor {
  position = 0;
  #bytes: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(new ArrayBuffer(0));
  readonly #utf8 = new TextDecoder();

  reset(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = 0;
  }

  get remaining(): number {
    return this.#bytes.length - this.position;
  }

  peek(): ValueKind {
    return this.position < this.#bytes.length ? KINDS[this.#bytes[this.position]!]! : 'none';
  }

  /** Takes a nil if one is next. */
  nil(): boolean {
    if (this.#bytes[this.position] !== 0xc0) return false;
    this.position++;
    return true;
  }

  /** Number of elements, -1 if this is no array, or more are announced than bytes are left. */
  arrayLength(): number {
    return this.#count(0x90, 0x0f, 0xdc, 1);
  }

  /** Number of entries, -1 if this is no map, or more are announced than bytes are left. */
  mapLength(): number {
    return this.#count(0x80, 0x0f, 0xde, 2);
  }

  /** A non-negative integer up to 2^53 - 1; -1 if the value is anything else. */
  uint(): number {
    const first = this.#bytes[this.position];
    if (first === undefined) return -1;
    if (first < 0x80) {
      this.position++;
      return first;
    }
    if (KINDS[first] !== 'int') return -1;
    const value = this.#integer();
    return typeof value === 'number' && value >= 0 ? value : -1;
  }

  /** A float or integer; NaN if the value is neither. */
  float(): number {
    const kind = this.peek();
    if (kind === 'int') return Number(this.#integer() ?? Number.NaN);
    if (kind !== 'float' || !this.#has(this.#bytes[this.position] === 0xcb ? 9 : 5)) return Number.NaN;
    const wide = this.#bytes[this.position] === 0xcb;
    const value = wide ? this.#view.getFloat64(this.position + 1) : this.#view.getFloat32(this.position + 1);
    this.position += wide ? 9 : 5;
    return value;
  }

  /**
   * An integer modulo 2^64, or the last eight of some bytes read big-endian (fewer are padded on the left),
   * written as low and high word at `words[2 * index]`. False if the value is neither.
   */
  u64Into(words: Uint32Array, index: number): boolean {
    const first = this.#bytes[this.position];
    if (first === 0xcf || first === 0xd3) {
      if (!this.#has(9)) return false;
      words[2 * index + 1] = this.#view.getUint32(this.position + 1);
      words[2 * index] = this.#view.getUint32(this.position + 5);
      this.position += 9;
      return true;
    }
    const kind = this.peek();
    if (kind === 'bytes') return this.#bytesInto(words, index);
    if (kind !== 'int') return false;
    const value = this.#integer();
    if (typeof value !== 'number') return false;
    words[2 * index] = value;
    words[2 * index + 1] = value < 0 ? 0xffffffff : 0;
    return true;
  }

  /** Fills `target` with as many u32 values; false if one of them is anything else. */
  u32sInto(target: Uint32Array): boolean {
    const bytes = this.#bytes;
    const view = this.#view;
    let at = this.position;
    for (let i = 0; i < target.length; i++) {
      const first = bytes[at];
      if (first === undefined) return false;
      if (first < 0x80) {
        target[i] = first;
        at++;
      } else if (first === 0xcd && at + 3 <= bytes.length) {
        target[i] = view.getUint16(at + 1);
        at += 3;
      } else if (first === 0xce && at + 5 <= bytes.length) {
        target[i] = view.getUint32(at + 1);
        at += 5;
      } else {
        this.position = at;
        const value = this.uint();
        if (value < 0 || value > 0xffffffff) return false;
        target[i] = value;
        at = this.position;
      }
    }
    this.position = at;
    return true;
  }

  /** A string; those among `words` are not decoded anew. Undefined if the value is no string. */
  text(words: WordTable): string | undefined {
    const start = this.#enterString();
    if (start < 0) return undefined;
    return (
      words.find(this.#bytes, start, this.position) ??
      this.#utf8.decode(this.#bytes.subarray(start, this.position))
    );
  }

  /** Takes a string: its content is from the returned offset to `position`; -1 if the value is no string. */
  #enterString(): number {
    const first = this.#bytes[this.position];
    if (first === undefined || KINDS[first] !== 'string') return -1;
    const header = first < 0xc0 ? 1 : 1 + FIXED_SIZE[first - 0xc0]!;
    if (!this.#has(header)) return -1;
    const length = first < 0xc0 ? first & 0x1f : this.#lengthAt(this.position + 1, header - 1);
    const start = this.position + header;
    if (start + length > this.#bytes.length) return -1;
    this.position = start + length;
    return start;
  }

  /** Passes over one value, whatever it holds, without recursion; false if the payload ends inside it. */
  skip(): boolean {
    let pending = 1;
    while (pending > 0) {
      const first = this.#bytes[this.position];
      if (first === undefined) return false;
      pending--;
      const kind = KINDS[first]!;
      if (kind === 'array' || kind === 'map') {
        const count = kind === 'array' ? this.arrayLength() : this.mapLength();
        if (count < 0) return false;
        pending += kind === 'array' ? count : 2 * count;
        if (pending > this.remaining) return false;
      } else if (!this.#skipLeaf(first, kind)) return false;
    }
    return true;
  }

  /** Any value as plain data, bytes copied; undefined if it is nested too deep, of an unknown kind, or cut off. */
  value(depth = 0): unknown {
    switch (this.peek()) {
      case 'nil':
        this.position++;
        return null;
      case 'bool':
        return this.#bytes[this.position++] === 0xc3;
      case 'int':
        return this.#integer();
      case 'float':
        return this.#has(this.#bytes[this.position] === 0xcb ? 9 : 5) ? this.float() : undefined;
      case 'string':
        return this.text(NO_WORDS);
      case 'bytes': {
        const start = this.#enterBytes();
        return start < 0 ? undefined : this.#bytes.slice(start, this.position);
      }
      case 'array':
        return depth < MAX_DEPTH ? this.#array(depth) : undefined;
      case 'map':
        return depth < MAX_DEPTH ? this.#map(depth) : undefined;
      default:
        return undefined;
    }
  }

  #array(depth: number): unknown[] | undefined {
    const count = this.arrayLength();
    if (count < 0) return undefined;
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) {
      const item = this.value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
    }
    return items;
  }

  #map(depth: number): Readonly<Record<string, unknown>> | undefined {
    const count = this.mapLength();
    if (count < 0) return undefined;
    const entries: [string, unknown][] = [];
    for (let i = 0; i < count; i++) {
      const key = this.text(NO_WORDS);
      const value = key === undefined ? undefined : this.value(depth + 1);
      if (key === undefined || value === undefined) return undefined;
      entries.push([key, value]);
    }
    // Own properties whatever the names are, `__proto__` included.
    return Object.fromEntries(entries);
  }

  #has(size: number): boolean {
    return this.position + size <= this.#bytes.length;
  }

  #count(fix: number, fixMask: number, wide: number, valuesEach: number): number {
    const first = this.#bytes[this.position];
    if (first === undefined) return -1;
    let count: number;
    if ((first & ~fixMask) === fix) {
      count = first & fixMask;
      this.position++;
    } else {
      const size = first === wide ? 2 : first === wide + 1 ? 4 : 0;
      if (size === 0 || !this.#has(1 + size)) return -1;
      count = this.#lengthAt(this.position + 1, size);
      this.position += 1 + size;
    }
    return count * valuesEach > this.remaining ? -1 : count;
  }

  #lengthAt(at: number, size: number): number {
    return size === 1
      ? this.#view.getUint8(at)
      : size === 2
        ? this.#view.getUint16(at)
        : this.#view.getUint32(at);
  }

  /** Integers beyond 2^53 come as bigint; undefined at the end of the payload. */
  #integer(): number | bigint | undefined {
    const at = this.position;
    const first = this.#bytes[at]!;
    if (first < 0x80 || first >= 0xe0) {
      this.position++;
      return first < 0x80 ? first : first - 256;
    }
    const size = FIXED_SIZE[first - 0xc0]!;
    if (!this.#has(1 + size)) return undefined;
    this.position += 1 + size;
    switch (first) {
      case 0xcc:
        return this.#view.getUint8(at + 1);
      case 0xcd:
        return this.#view.getUint16(at + 1);
      case 0xce:
        return this.#view.getUint32(at + 1);
      case 0xcf:
        return narrow(this.#view.getBigUint64(at + 1));
      case 0xd0:
        return this.#view.getInt8(at + 1);
      case 0xd1:
        return this.#view.getInt16(at + 1);
      case 0xd2:
        return this.#view.getInt32(at + 1);
      default:
        return narrow(this.#view.getBigInt64(at + 1));
    }
  }

  /** Like {@link #enterString}, for bytes; the caller has looked at the kind. */
  #enterBytes(): number {
    const header = 1 + FIXED_SIZE[this.#bytes[this.position]! - 0xc0]!;
    if (!this.#has(header)) return -1;
    const start = this.position + header;
    const end = start + this.#lengthAt(this.position + 1, header - 1);
    if (end > this.#bytes.length) return -1;
    this.position = end;
    return start;
  }

  #bytesInto(words: Uint32Array, index: number): boolean {
    const start = this.#enterBytes();
    if (start < 0) return false;
    let low = 0;
    let high = 0;
    for (let at = Math.max(start, this.position - 8); at < this.position; at++) {
      high = (high << 8) | (low >>> 24);
      low = (low << 8) | this.#bytes[at]!;
    }
    words[2 * index] = low;
    words[2 * index + 1] = high;
    return true;
  }

  #skipLeaf(first: number, kind: ValueKind): boolean {
    let size = 1;
    if (kind === 'string' && first < 0xc0) size += first & 0x1f;
    else if (first >= 0xc0 && first < 0xe0) {
      const fixed = FIXED_SIZE[first - 0xc0]!;
      if (!this.#has(1 + fixed)) return false;
      size += fixed;
      const lengthSize = lengthBytes(first);
      if (lengthSize > 0) size += this.#lengthAt(this.position + 1, lengthSize);
    }
    if (kind === 'none' || !this.#has(size)) return false;
    this.position += size;
    return true;
  }
}

/** Width of the length field of variable-sized leaves: bytes, ext and string. */
function lengthBytes(first: number): number {
  if (first >= 0xc4 && first <= 0xc6) return 1 << (first - 0xc4);
  if (first >= 0xc7 && first <= 0xc9) return 1 << (first - 0xc7);
  if (first >= 0xd9 && first <= 0xdb) return 1 << (first - 0xd9);
  return 0;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function kindOf(byte: number): ValueKind {
  if (byte < 0x80 || byte >= 0xe0) return 'int';
  if (byte < 0x90) return 'map';
  if (byte < 0xa0) return 'array';
  if (byte < 0xc0) return 'string';
  if (byte === 0xc0) return 'nil';
  if (byte === 0xc1) return 'none';
  if (byte < 0xc4) return 'bool';
  if (byte < 0xc7) return 'bytes';
  if (byte < 0xca) return 'ext';
  if (byte < 0xcc) return 'float';
  if (byte < 0xd4) return 'int';
  if (byte < 0xd9) return 'ext';
  if (byte < 0xdc) return 'string';
  return byte < 0xde ? 'array' : 'map';
}
