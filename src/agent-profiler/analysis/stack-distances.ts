import { Fenwick } from '../../math/fenwick.ts';

const NEVER = -1;

/** How many distinct keys (0 up to `keys`) were touched since a key's last touch; 16 bytes a key, O(log keys) each. */
export class StackDistances {
  readonly #last: Int32Array;
  // The key touched at each moment; moments are numbered anew when they run out, so that touches cost no memory.
  readonly #touched: Uint32Array;
  #live: Fenwick;
  #now = 0;
  #seen = 0;

  constructor(keys: number) {
    this.#last = new Int32Array(keys).fill(NEVER);
    this.#touched = new Uint32Array(2 * keys + 1);
    this.#live = new Fenwick(this.#touched.length);
  }

  /** Undefined before the first touch. */
  distance(key: number): number | undefined {
    const last = this.#last[key]!;
    return last === NEVER ? undefined : this.#seen - this.#live.before(last + 1);
  }

  touch(key: number): void {
    if (this.#now === this.#touched.length) this.#renumber();
    const last = this.#last[key]!;
    if (last === NEVER) this.#seen++;
    else this.#live.add(last, -1);
    this.#last[key] = this.#now;
    this.#touched[this.#now] = key;
    this.#live.add(this.#now++, 1);
  }

  #renumber(): void {
    this.#live = new Fenwick(this.#touched.length);
    let to = 0;
    for (let at = 0; at < this.#now; at++) {
      const key = this.#touched[at]!;
      if (this.#last[key] !== at) continue;
      this.#last[key] = to;
      this.#touched[to] = key;
      this.#live.add(to++, 1);
    }
    this.#now = to;
  }
}
