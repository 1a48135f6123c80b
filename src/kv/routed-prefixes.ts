import type { Clock } from '../base/clock.ts';
import { Heap } from '../base/heap.ts';
import { type PrefixNode, PrefixTree } from './sequences/prefix-tree.ts';

const BUCKET_MS = 100;
const MAX_ROUTES = 1 << 20;

interface Expiry {
  atMs: number;
}

interface Route {
  readonly node: PrefixNode<Expiry>;
  readonly rank: number;
  readonly atMs: number;
}

/**
 * What the router guesses to be cached because it sent it there: a prompt counts as held for a time after it was
 * routed (rounded up to 100 ms), and routing it again starts the time anew. Serves ranks without events, and bridges
 * the time until events arrive on those with them. Bounded: beyond 2^20 live routes the oldest goes.
 */
export class RoutedPrefixes {
  readonly #clock: Clock;
  readonly #tree = new PrefixTree<Expiry>((expiry) => ({ ...expiry }));
  readonly #routes = new Heap<Route>((a, b) => a.atMs < b.atMs);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#tree.isEmpty;
  }

  route(rank: number, sequence: BigUint64Array, ttlMs: number): void {
    this.#expire();
    if (sequence.length === 0) return;
    const atMs = BUCKET_MS * Math.ceil((this.#clock.nowMs() + ttlMs) / BUCKET_MS);
    const node = this.#tree.insert(sequence);
    for (let above = node; above.parent !== undefined; above = above.parent) {
      const expiry = above.holders.get(rank);
      if (expiry === undefined) above.holders.set(rank, { atMs });
      else expiry.atMs = Math.max(expiry.atMs, atMs);
    }
    this.#routes.push({ node, rank, atMs });
    while (this.#routes.size > MAX_ROUTES) this.#drop(this.#routes.pop()!);
  }

  /** Leading blocks guessed to be cached, by rank; ranks without any stay as they are. */
  depths(sequence: BigUint64Array, out: Uint32Array): void {
    this.#expire();
    this.#tree.depths(sequence, out);
  }

  removeRank(rank: number): void {
    for (const node of [...this.#tree.nodes()].reverse()) {
      node.holders.delete(rank);
      this.#tree.prune(node);
    }
  }

  #expire(): void {
    const nowMs = this.#clock.nowMs();
    for (
      let route = this.#routes.peek();
      route !== undefined && route.atMs <= nowMs;
      route = this.#routes.peek()
    )
      this.#drop(this.#routes.pop()!);
  }

  /** Ends what no later route of the rank has prolonged; above a prolonged node everything is. */
  #drop({ node, rank, atMs }: Route): void {
    for (
      let above: PrefixNode<Expiry> | undefined = node;
      above?.parent !== undefined;
      above = above.parent
    ) {
      const expiry = above.holders.get(rank);
      if (expiry === undefined || expiry.atMs > atMs) break;
      above.holders.delete(rank);
    }
    this.#tree.prune(node);
  }
}
