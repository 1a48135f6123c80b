import type { Clock } from '../base/clock.ts';
import type { RankEvent } from '../engine/pass.ts';
import type { RankSnapshot } from '../engine/scheduler.ts';
import type { DialectName } from '../formats/kv-events/dialects.ts';
import type { BlockStored, EngineEvent, EngineEventBatch } from '../formats/kv-events/engine-event.ts';
import { EventEncoder } from '../formats/kv-events/event-encoder.ts';
import { MEDIUM_OF_TIER } from '../formats/kv-events/medium-tier.ts';
import { toldEvents } from '../formats/kv-events/offload-events.ts';
import type { RankBlocks } from '../formats/kv-events/snapshot.ts';

/** Takes each encoded batch of a rank; numbers them from 0 as this stream does. */
export interface BatchSink {
  publish(payload: Uint8Array): number;
}

export interface KvEventStreamOptions {
  readonly rank: number;
  readonly clock: Clock;
  readonly blockSize: number;
  readonly dialect: DialectName;
  /** Where batches go; nowhere unless given. */
  readonly sink?: BatchSink | undefined;
  /** All that the engine's rank holds now. */
  readonly snapshot: () => RankSnapshot;
}

export type BatchListener = (batch: EngineEventBatch, seq: number) => void;
export type EncodedListener = (payload: Uint8Array, seq: number) => void;

const SPEC_KIND = 'full_attention';

/** One rank's cache changes as its engine publishes them: one batch for each pass that changed something. */
export class KvEventStream {
  readonly #options: KvEventStreamOptions;
  readonly #encoder: EventEncoder;
  readonly #listeners = new Set<BatchListener>();
  readonly #encodedListeners = new Set<EncodedListener>();
  readonly #waiting: ((blocks: RankBlocks) => void)[] = [];
  #seq = -1;
  #lastEventId = -1;

  constructor(options: KvEventStreamOptions) {
    this.#options = options;
    this.#encoder = new EventEncoder(options.dialect);
  }

  /** Number of the last batch, -1 before the first. */
  get lastSeq(): number {
    return this.#seq;
  }

  /** Hears every batch as it is published, without the wire; returns how to stop. */
  listen(listener: BatchListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Hears every batch as the sink gets it; returns how to stop. */
  listenEncoded(listener: EncodedListener): () => void {
    this.#encodedListeners.add(listener);
    return () => void this.#encodedListeners.delete(listener);
  }

  /** The events of one pass that ended at `atMs` of the clock. */
  publish(events: readonly RankEvent[], atMs: number): void {
    const last = events.at(-1);
    if (last === undefined) return;
    const { clock, dialect, rank, sink } = this.#options;
    const timestampS = (clock.wallMs() - (clock.nowMs() - atMs)) / 1000;
    const batch = { timestampS, dpRank: rank, events: events.map((event) => this.#eventOf(event)) };
    this.#seq++;
    this.#lastEventId = last.id;
    if (sink !== undefined || this.#encodedListeners.size > 0) {
      const told = batch.events.flatMap((event) => toldEvents(event, dialect));
      const payload = this.#encoder.encode({ ...batch, events: told });
      sink?.publish(payload);
      for (const listener of this.#encodedListeners) listener(payload, this.#seq);
    }
    for (const listener of this.#listeners) listener(batch, this.#seq);
    for (const tell of this.#waiting.splice(0)) tell(this.#blocks());
  }

  /**
   * All held blocks, with the number of the last batch that they reflect. While a pass is under way the engine
   * already holds what that pass will publish, so the answer then comes with its end.
   */
  heldBlocks(): Promise<RankBlocks> {
    if (this.#options.snapshot().lastEventId === this.#lastEventId) return Promise.resolve(this.#blocks());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Answers those who wait for the end of a pass that will not come. */
  stop(): void {
    for (const tell of this.#waiting.splice(0)) tell(this.#blocks());
  }

  #blocks(): RankBlocks {
    const { snapshot, rank } = this.#options;
    return {
      dpRank: rank,
      lastSeq: this.#seq,
      events: snapshot().events.map((event) => this.#eventOf(event)),
    };
  }

  #eventOf({ event, tokenIds, namespace }: RankEvent): EngineEvent {
    if (event.kind === 'cleared') return { kind: 'cleared' };
    const { blockHashes, tier = 'device' } = event;
    const medium = MEDIUM_OF_TIER[tier];
    if (event.kind === 'removed') return { kind: 'removed', blockHashes, medium, groupIdx: 0 };
    const { parentHash } = event;
    const stored: BlockStored = {
      kind: 'stored',
      blockHashes,
      parentHash,
      tokenIds: tokenIds ?? new Uint32Array(0),
      blockSize: this.#options.blockSize,
      medium,
      extraKeys: extraKeys(blockHashes.length, parentHash === undefined, namespace?.cacheSalt),
      groupIdx: 0,
      kvCacheSpecKind: SPEC_KIND,
    };
    return namespace?.cacheSalt === undefined ? stored : { ...stored, cacheSalt: namespace.cacheSalt };
  }
}

/** As vLLM: only the first block of a sequence has the salt among its keys. */
function extraKeys(blocks: number, first: boolean, salt: string | undefined): (string[] | null)[] {
  return Array.from({ length: blocks }, (_, i) => (first && i === 0 && salt !== undefined ? [salt] : null));
}
