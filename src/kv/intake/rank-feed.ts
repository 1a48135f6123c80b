import type { Clock } from '../../base/clock.ts';
import type { EngineEvent } from '../../formats/kv-events/engine-event.ts';
import type { KvEvent, KvStored, WorkerKey } from '../event.ts';
import type { BlockHasher } from '../hash.ts';
import { APPLIED, type Applied, type KvIndex } from '../index/kv-index.ts';
import type { RouterObserver } from '../observer.ts';
import { BlockCopies } from './block-copies.ts';
import { BlockIdentities } from './block-identities.ts';
import { type ConversionRejection, EventConverter, type KnownBlocks } from './event-converter.ts';
import { OrphanBlocks } from './orphan-blocks.ts';

export interface RankFeedOptions {
  readonly clock: Clock;
  readonly rank: number;
  readonly key: WorkerKey;
  readonly index: KvIndex;
  readonly hasher: BlockHasher;
  readonly blockSize: number;
  readonly observer: RouterObserver;
}

/** Applies one rank's events to the index, in the order in which they come, and tells what became of each. */
export class RankFeed {
  readonly #options: RankFeedOptions;
  readonly #copies = new BlockCopies();
  readonly #orphans = new OrphanBlocks();
  readonly #converter: EventConverter;
  /** Of ranks that tell of blocks without their tokens. */
  #identities: BlockIdentities | undefined;
  #rejected = 0;
  #flaw: string | undefined;

  constructor(options: RankFeedOptions) {
    this.#options = options;
    const { blockSize, hasher } = options;
    const onReject = (reason: ConversionRejection): void => this.#reject(reason);
    this.#converter = new EventConverter({ blockSize, hasher, onReject });
  }

  /** Salts the blocks whose events name no salt, from now on. */
  saltWith(cacheSalt: string | undefined): void {
    this.#converter.defaultSalt = cacheSalt;
  }

  /** Events, or parts of events, that could not be indexed. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Why the index cannot show all that the rank holds, however complete its events are. */
  get flaw(): string | undefined {
    const { index, rank } = this.#options;
    const evicted = index.evictedOf(rank);
    return (
      this.#flaw ??
      (evicted === 0 ? undefined : `the index let go of ${evicted} of its blocks for lack of memory`)
    );
  }

  /** Blocks that the rank holds behind one that it holds nowhere, which the index cannot show. */
  get orphans(): OrphanBlocks {
    return this.#orphans;
  }

  applyEngineEvent(event: EngineEvent): void {
    const converted = this.#converter.convert(event);
    if (converted?.kind === 'known') this.#storeKnown(converted);
    else if (converted !== undefined) this.apply(converted);
  }

  apply(event: KvEvent): void {
    const { clock, key, observer } = this.#options;
    const startMs = clock.nowMs();
    const { status, warning } = this.#change(event);
    observer.eventApplied?.(key, event.kind, status, clock.nowMs() - startMs);
    if (warning !== undefined) observer.eventWarning?.(key, warning);
    if (status === 'capacity_exhausted' || status === 'allocation_failed') this.#flaw = 'the index is full';
    // An engine stores no block whose parent it lacks: one of the two pictures is wrong.
    else if (status === 'parent_block_not_found') this.#flaw = 'a block was stored whose parent is not known';
    else if (event.kind === 'cleared') this.#flaw = undefined;
  }

  /** Forgets what the rank holds, without an event of the engine. */
  clear(): void {
    this.#flaw = undefined;
    this.#copies.clear();
    this.#orphans.clear();
    this.#converter.convert({ kind: 'cleared' });
    this.#identities?.applied({ kind: 'cleared' });
    this.#options.index.apply(this.#options.rank, { kind: 'cleared' });
  }

  #reject(reason: ConversionRejection): void {
    const { blockSize, key, observer } = this.#options;
    this.#rejected++;
    if (reason === 'block_size_mismatch') this.#flaw = `its blocks are not of ${blockSize} tokens`;
    observer.eventRejected?.(key, reason);
  }

  #storeKnown({ tier, blockHashes }: KnownBlocks): void {
    const { index, rank } = this.#options;
    this.#identities ??= new BlockIdentities(index.dump(rank).map(({ event }) => event));
    const { events, unknown } = this.#identities.storesIn(tier, blockHashes);
    for (const event of events) this.apply(event);
    if (unknown > 0) this.#reject('unknown_block');
  }

  #change(event: KvEvent): Applied {
    if (event.kind === 'stored') return this.#storeWithChildren(event);
    let last = event;
    if (event.kind === 'cleared') {
      this.#copies.clear();
      this.#orphans.clear();
    } else {
      const { tier = 'device' } = event;
      const blockHashes = this.#orphans.remove(tier, this.#copies.remove(tier, event.blockHashes));
      if (blockHashes.length === 0) return APPLIED.ok;
      last = { ...event, blockHashes };
    }
    this.#identities?.applied(last);
    return this.#options.index.apply(this.#options.rank, last);
  }

  /** Stores the blocks, and then those that waited for one of them; an offload tier's blocks may wait in their turn. */
  #storeWithChildren(event: KvStored): Applied {
    const applied = this.#store(event);
    if (applied.status === 'parent_block_not_found' && (event.tier ?? 'device') !== 'device')
      return this.#orphans.add(event) ? APPLIED.ok : applied;
    if (applied.status !== 'ok') return applied;
    this.#identities?.applied(event);
    const held = this.#orphans.size === 0 ? [] : [...event.blockHashes];
    for (let parent = held.pop(); parent !== undefined; parent = held.pop())
      for (const child of this.#orphans.adopted(parent)) {
        if (this.#store(child).status !== 'ok') continue;
        this.#identities?.applied(child);
        held.push(...child.blockHashes);
      }
    return applied;
  }

  /** Counts a further copy of each block that is there already, wherever it is in the event. */
  #store(event: KvStored): Applied {
    const { index, rank } = this.#options;
    const { blockHashes, tier = 'device' } = event;
    // An id that is stored anew names another block than before, or the index had let go of it.
    let judged = 0;
    const applied = index.apply(rank, event, (place) => {
      this.#copies.single(tier, blockHashes, judged, place);
      this.#copies.add(tier, blockHashes[place]!);
      judged = place + 1;
    });
    if (applied.status === 'ok') this.#copies.single(tier, blockHashes, judged, blockHashes.length);
    return applied;
  }
}
