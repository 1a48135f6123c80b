import type { KvCache } from './kv-cache.ts';
import type { Sequence } from './sequence.ts';

export interface RemoteKvOptions {
  readonly cache: KvCache;
  readonly blockSize: number;
  /** Whether one more request may be on its way to running. */
  readonly hasSlot: () => boolean;
  /** Shows the blocks of a prompt that has arrived. */
  readonly publish: (sequence: Sequence) => void;
}

/**
 * Prompts that another engine computes and hands over. A destination is reserved in order of request, blocks that
 * are cached here are held at once, room for the others is kept free; when the KV has arrived the prompt is as if
 * it had been computed here.
 */
export class RemoteKv {
  readonly #options: RemoteKvOptions;
  readonly #pending: Sequence[] = [];
  /** Reserved, with the number of blocks that are still to come. */
  readonly #reserved = new Map<Sequence, number>();

  constructor(options: RemoteKvOptions) {
    this.#options = options;
  }

  /** Reservations that found no room yet: while there are any, no fresh request is admitted. */
  get pending(): number {
    return this.#pending.length;
  }

  get size(): number {
    return this.#pending.length + this.#reserved.size;
  }

  *sequences(): IterableIterator<Sequence> {
    yield* this.#pending;
    yield* this.#reserved.keys();
  }

  /** Asks for a destination; {@link grant} tells when there is one. */
  reserve(sequence: Sequence): void {
    sequence.state = 'waiting_for_remote_kv';
    this.#pending.push(sequence);
  }

  /** Reserves for the first in line if it fits, and returns it. */
  grant(): Sequence | undefined {
    const head = this.#pending[0];
    if (head === undefined || !this.#reserveFor(head)) return undefined;
    this.#pending.shift();
    return head;
  }

  /** Blocks of a reserved prompt that were not cached here. */
  missingBlocks(sequence: Sequence): number {
    return this.#reserved.get(sequence) ?? 0;
  }

  /** The KV has arrived: the blocks become the prompt's and visible. */
  activate(sequence: Sequence): void {
    const missing = this.#reserved.get(sequence) ?? 0;
    this.#reserved.delete(sequence);
    this.#options.cache.pool.reserve(-missing);
    this.#options.cache.grow(sequence, missing);
    sequence.computed = sequence.promptLength;
    sequence.state = 'waiting';
    this.#options.publish(sequence);
  }

  cancel(sequence: Sequence): boolean {
    const at = this.#pending.indexOf(sequence);
    if (at >= 0) {
      this.#pending.splice(at, 1);
      return true;
    }
    const missing = this.#reserved.get(sequence);
    if (missing === undefined) return false;
    this.#reserved.delete(sequence);
    this.#options.cache.pool.reserve(-missing);
    this.#options.cache.release(sequence);
    return true;
  }

  #reserveFor(sequence: Sequence): boolean {
    const { cache, blockSize, hasSlot } = this.#options;
    if (!hasSlot()) return false;
    const hits = cache.findPrefix(sequence, Math.floor(sequence.promptLength / blockSize));
    const held = hits.filter((slot) => cache.pool.isHeld(slot)).length;
    const blocks = Math.ceil(sequence.promptLength / blockSize);
    if (blocks - held > cache.pool.available) return false;
    cache.adopt(sequence, hits);
    cache.pool.reserve(blocks - hits.length);
    this.#reserved.set(sequence, blocks - hits.length);
    return true;
  }
}
