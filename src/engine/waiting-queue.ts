import type { Sequence } from './sequence.ts';

/** Requests waiting to run: new ones join at the back, preempted ones return to the front. O(1) at both ends. */
export class WaitingQueue {
  /** Returned to the front: the last is first. */
  readonly #front: Sequence[] = [];
  #back: Sequence[] = [];
  #taken = 0;

  get size(): number {
    return this.#front.length + this.#back.length - this.#taken;
  }

  get first(): Sequence | undefined {
    return this.#front.at(-1) ?? this.#back[this.#taken];
  }

  push(sequence: Sequence): void {
    this.#back.push(sequence);
  }

  pushFront(sequence: Sequence): void {
    this.#front.push(sequence);
  }

  shift(): Sequence | undefined {
    const returned = this.#front.pop();
    if (returned !== undefined) return returned;
    const sequence = this.#back[this.#taken];
    if (sequence === undefined) return undefined;
    this.#taken++;
    if (this.#taken > 64 && 2 * this.#taken > this.#back.length) {
      this.#back = this.#back.slice(this.#taken);
      this.#taken = 0;
    }
    return sequence;
  }

  /** Takes out one request, wherever it stands; O(length). */
  remove(sequence: Sequence): boolean {
    const order = [...this];
    const at = order.indexOf(sequence);
    if (at < 0) return false;
    order.splice(at, 1);
    this.replace(order);
    return true;
  }

  /** Puts the requests into a new order. */
  replace(order: readonly Sequence[]): void {
    this.#front.length = 0;
    this.#back = [...order];
    this.#taken = 0;
  }

  *[Symbol.iterator](): IterableIterator<Sequence> {
    for (let i = this.#front.length - 1; i >= 0; i--) yield this.#front[i]!;
    for (let i = this.#taken; i < this.#back.length; i++) yield this.#back[i]!;
  }
}
