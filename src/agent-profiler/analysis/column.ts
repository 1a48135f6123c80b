type Values = Float64Array | Uint32Array | Uint8Array;

/** A growing column of numbers outside the JavaScript heap: 8 bytes each, or as few as the kind of array given takes. */
export class Column<T extends Values = Float64Array> {
  #values: T;
  #length = 0;

  constructor(values: T = new Float64Array(64) as T) {
    this.#values = values;
  }

  /** Whole numbers from 0 to 2^32 - 1. */
  static counts(): Column<Uint32Array> {
    return new Column(new Uint32Array(64));
  }

  /** Whole numbers from 0 to 255. */
  static bytes(): Column<Uint8Array> {
    return new Column(new Uint8Array(64));
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) this.#grow();
    this.#values[this.#length++] = value;
  }

  at(index: number): number {
    return this.#values[index]!;
  }

  /** A view of what is there now; stale after the next push. */
  view(): T {
    return this.#values.subarray(0, this.#length) as T;
  }

  ascending(): T {
    return this.view().slice().sort() as T;
  }

  #grow(): void {
    const grown = new (this.#values.constructor as new (length: number) => T)(this.#length * 2);
    grown.set(this.#values);
    this.#values = grown;
  }
}

/** The value of a key, made and kept when there is none yet. */
export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/** Names to small numbers and back. */
export class Names {
  readonly #ids = new Map<string, number>();
  readonly #names: string[] = [];

  get size(): number {
    return this.#names.length;
  }

  id(name: string): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#names.length;
      this.#ids.set(name, id);
      this.#names.push(name);
    }
    return id;
  }

  name(id: number): string {
    return this.#names[id]!;
  }
}

/** Order of Unicode code points, which is not that of UTF-16 units beyond the basic plane. */
export function byCodePoint(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    // Surrogates stand for points above every other unit.
    const [xHigh, yHigh] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000];
    return xHigh === yHigh ? x - y : xHigh ? 1 : -1;
  }
  return a.length - b.length;
}

/** The first `limit` code points. */
export function cutCodePoints(text: string, limit: number): string {
  if (text.length <= limit) return text;
  let units = 0;
  for (let points = 0; points < limit && units < text.length; points++)
    units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  return text.slice(0, units);
}
