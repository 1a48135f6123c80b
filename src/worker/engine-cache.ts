import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import type { RankBlocks } from '../formats/kv-events/snapshot.ts';
import { EventStream } from '../kv/intake/event-stream.ts';
import { HeldBlocks } from '../kv/intake/held-blocks.ts';
import type { EventSource, PublishedBatch } from '../transport/event-source.ts';

export interface EngineCacheOptions {
  /** The engine's own publishers, one for each rank. */
  readonly sources: readonly EventSource[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Follows the KV events of an engine that cannot tell what it holds, in order to tell in its place: a router that
 * comes after the engine's oldest kept event then still begins with an exact picture. Owns the sources.
 */
export class EngineCache {
  readonly #options: EngineCacheOptions;
  readonly #ranks: readonly RankCache[];

  constructor(options: EngineCacheOptions) {
    this.#options = options;
    this.#ranks = options.sources.map((source) => new RankCache(source, options.clock));
  }

  /** Begins to follow; a source that cannot be read is logged, and its rank tells nothing. */
  start(): void {
    for (const rank of this.#ranks)
      rank.start().catch((thrown: unknown) => {
        const { message, hint } = toError(thrown);
        this.#options.log.error({ dpRank: rank.dpRank, reason: message, hint }, 'KV events cannot be read');
      });
  }

  /** What a rank holds; undefined unless that is known exactly, or of a rank that is not. */
  heldBlocks(dpRank: number): RankBlocks | undefined {
    return this.#ranks.find((rank) => rank.dpRank === dpRank)?.heldBlocks();
  }

  async stop(): Promise<void> {
    for (const rank of this.#ranks) await rank.stop();
  }
}

class RankCache {
  readonly #source: EventSource;
  readonly #held = new HeldBlocks();
  readonly #decoder = new EventDecoder();
  readonly #stream: EventStream;

  constructor(source: EventSource, clock: Clock) {
    this.#source = source;
    this.#stream = new EventStream({
      clock,
      source: {
        replay: async (fromSeq, deliver) => {
          const onBatch = (batch: PublishedBatch): void => this.#pass(batch, deliver);
          return (await source.replay(fromSeq, onBatch)).end === 'complete';
        },
      },
      apply: (batch) => {
        if ('batch' in batch) for (const event of batch.batch.events) this.#held.apply(event);
      },
      // Nobody else can tell what the engine holds.
      load: () => {},
      clear: () => this.#held.clear(),
    });
  }

  get dpRank(): number {
    return this.#source.dpRank;
  }

  async start(): Promise<void> {
    let connections = 0;
    await this.#source.start({
      batch: (batch) => this.#pass(batch, (decoded) => this.#stream.deliver(decoded)),
      connected: () => {
        if (connections++ > 0) this.#stream.reconnected();
      },
    });
    this.#stream.start();
  }

  heldBlocks(): RankBlocks | undefined {
    if (this.#stream.state !== 'exact' || !this.#held.complete) return undefined;
    return { dpRank: this.dpRank, lastSeq: this.#stream.lastSeq, events: [...this.#held.events()] };
  }

  async stop(): Promise<void> {
    this.#stream.stop();
    await this.#source.stop();
  }

  /** A batch that cannot be read is missing, and is asked for again. */
  #pass({ seq, payload }: PublishedBatch, deliver: EventStream['deliver']): void {
    const batch = this.#decoder.decode(payload);
    if (batch !== undefined) deliver({ seq, batch });
  }
}
