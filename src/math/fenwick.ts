/** Sums of prefixes of an array whose items change: both O(log n) (Fenwick 1994). */
export class Fenwick {
  readonly #tree: Int32Array;

  constructor(size: number) {
    this.#tree = new Int32Array(size + 1);
  }

  add(index: number, amount: number): void {
    for (let at = index + 1; at < this.#tree.length; at += at & -at) this.#tree[at]! += amount;
  }

  /** Sum of the items before `index`. */
  before(index: number): number {
    let sum = 0;
    for (let at = index; at > 0; at -= at & -at) sum += this.#tree[at]!;
    return sum;
  }
}
