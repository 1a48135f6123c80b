import { Heap } from '../../base/heap.ts';

/** A request that waits; {@link ClassQueue} orders them. */
export interface QueueEntry {
  readonly strictPriority: number;
  readonly key: number;
  /** Breaks ties: the lower came first. */
  readonly order: number;
  readonly isl: number;
  readonly cachedTokens: number;
  /** Tokens to compute, at least 1: what the class pays to dispatch it. */
  readonly cost: number;
}

interface Slot<E> {
  readonly entry: E;
  live: boolean;
}

/** Below this many dead slots compacting is not worth it. */
const MIN_DEAD = 64;

/**
 * Requests of one class: strict priority first, then key, then arrival. Push and pop are O(log n); removing an
 * aborted one is O(1), amortised: its slot dies in place, and slots are compacted when half of them are dead.
 */
export class ClassQueue<E extends QueueEntry> {
  #heap = makeHeap<E>();
  readonly #slots = new Map<E, Slot<E>>();
  #isl = 0;
  #cached = 0;

  get size(): number {
    return this.#slots.size;
  }

  /** Prompt tokens of all that wait. */
  get islTokens(): number {
    return this.#isl;
  }

  get cachedTokens(): number {
    return this.#cached;
  }

  push(entry: E): void {
    const slot = { entry, live: true };
    this.#slots.set(entry, slot);
    this.#heap.push(slot);
    this.#isl += entry.isl;
    this.#cached += entry.cachedTokens;
  }

  peek(): E | undefined {
    for (let top = this.#heap.peek(); top !== undefined; top = this.#heap.peek()) {
      if (top.live) return top.entry;
      this.#heap.pop();
    }
    return undefined;
  }

  pop(): E | undefined {
    const entry = this.peek();
    if (entry !== undefined) this.remove(entry);
    return entry;
  }

  /** False when it does not wait here. */
  remove(entry: E): boolean {
    const slot = this.#slots.get(entry);
    if (slot === undefined) return false;
    slot.live = false;
    this.#slots.delete(entry);
    this.#isl -= entry.isl;
    this.#cached -= entry.cachedTokens;
    const dead = this.#heap.size - this.#slots.size;
    if (dead > MIN_DEAD && dead > this.#slots.size) this.#compact();
    return true;
  }

  #compact(): void {
    this.#heap = makeHeap();
    for (const slot of this.#slots.values()) this.#heap.push(slot);
  }
}

function makeHeap<E extends QueueEntry>(): Heap<Slot<E>> {
  return new Heap(({ entry: a }, { entry: b }) => {
    if (a.strictPriority !== b.strictPriority) return a.strictPriority > b.strictPriority;
    return a.key === b.key ? a.order < b.order : a.key > b.key;
  });
}
