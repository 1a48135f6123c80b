import type { KvCache } from './kv-cache.ts';
import type { TierLoad } from './lower-tiers.ts';
import type { Sequence } from './sequence.ts';
import type { WaitingQueue } from './waiting-queue.ts';

/** A request that waits for blocks. */
interface Parked {
  readonly sequence: Sequence;
  readonly readyNs: number;
  /** Absent: another request loads what it needs, and it looks again then. */
  readonly load: TierLoad | undefined;
  /** Leading blocks that are on the device when the load is over. */
  readonly blocks: number;
  readonly hashes: readonly bigint[];
}

/** How often an engine looks whether blocks have arrived when it has nothing to compute; before any speed-up. */
const IDLE_STEP_NS = 1e6;

/**
 * Requests whose cached prefix is loaded from lower tiers while others compute, as behind vLLM's offloading
 * connectors: a request is set aside with room for all its tokens, and goes on where its prefix ends once that is
 * there. One that needs blocks which are on their way already waits for those.
 */
export class TierLoads {
  readonly #cache: KvCache;
  readonly #waiting: WaitingQueue;
  readonly #idleStepNs: number;
  /** In order of arrival: one link serves all. */
  readonly #parked: Parked[] = [];
  readonly #onTheWay = new Set<bigint>();
  readonly #loaded: Sequence[] = [];

  constructor(cache: KvCache, waiting: WaitingQueue, speedupRatio: number) {
    this.#cache = cache;
    this.#waiting = waiting;
    this.#idleStepNs = IDLE_STEP_NS / (speedupRatio || 1);
  }

  /** Requests that neither wait in the queue nor run. */
  get size(): number {
    return this.#parked.length + this.#loaded.length;
  }

  /** Whose blocks are there: it runs before any that wait. */
  get first(): Sequence | undefined {
    return this.#loaded[0];
  }

  /** When the next blocks arrive; never, if none are under way. */
  get nextReadyNs(): number {
    return this.#parked[0]?.readyNs ?? Number.POSITIVE_INFINITY;
  }

  *[Symbol.iterator](): IterableIterator<Sequence> {
    yield* this.#loaded;
    for (const { sequence } of this.#parked) yield sequence;
  }

  /** Takes {@link first} away. */
  shift(): void {
    this.#loaded.shift();
  }

  /** Parks a request behind the load that brings the given block of it, if there is one. */
  follow(sequence: Sequence, block: number): boolean {
    if (this.#onTheWay.size === 0) return false;
    const hash = sequence.blockHash(block);
    if (!this.#onTheWay.has(hash)) return false;
    const leader = this.#parked.findLastIndex(({ hashes }) => hashes.includes(hash));
    const { readyNs } = this.#parked[leader]!;
    this.#parked.splice(leader + 1, 0, { sequence, readyNs, load: undefined, blocks: 0, hashes: [] });
    return true;
  }

  /** Begins to load `count` blocks from the place `from` on, for which the sequence has its own. */
  start(sequence: Sequence, from: number, count: number): void {
    const load = this.#cache.below!.load(sequence, from, count);
    const hashes = Array.from({ length: count }, (_, i) => sequence.blockHash(from + i));
    for (const hash of hashes) this.#onTheWay.add(hash);
    this.#parked.push({ sequence, readyNs: load.readyNs, load, blocks: from + count, hashes });
  }

  /** Takes in what has arrived; who followed returns to the queue's front. */
  settle(nowNs: number): void {
    const followers: Sequence[] = [];
    while (this.nextReadyNs <= nowNs) {
      const { sequence, load, blocks, hashes } = this.#parked.shift()!;
      for (const hash of hashes) this.#onTheWay.delete(hash);
      if (load === undefined) {
        followers.push(sequence);
        continue;
      }
      load.done();
      this.#cache.filled(sequence, blocks);
      this.#loaded.push(sequence);
    }
    for (const sequence of followers.reverse()) this.#waiting.pushFront(sequence);
  }

  /** How long a pass takes that computes nothing: new requests are looked at meanwhile. */
  idleNs(nowNs: number): number {
    return this.#parked.length === 0 ? 0 : Math.min(this.#idleStepNs, this.nextReadyNs - nowNs);
  }

  cancel(sequence: Sequence): boolean {
    const loaded = this.#loaded.indexOf(sequence);
    if (loaded >= 0) this.#loaded.splice(loaded, 1);
    const at = this.#parked.findIndex((parked) => parked.sequence === sequence);
    if (at < 0) return loaded >= 0;
    const [parked] = this.#parked.splice(at, 1);
    for (const hash of parked!.hashes) this.#onTheWay.delete(hash);
    parked!.load?.drop();
    return true;
  }
}
