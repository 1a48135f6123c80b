import type { RankBlocks } from '../formats/kv-events/snapshot.ts';

/** A batch of KV events as its engine numbered it, still encoded. */
export interface PublishedBatch {
  readonly topic: string;
  /** Per publisher: rises by one with each batch, and begins anew when the engine restarts. */
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** `complete`: all that is kept was given; `timeout`: nothing more came; `unavailable`: there is nobody to ask. */
export interface ReplayOutcome {
  readonly end: 'complete' | 'timeout' | 'unavailable';
  readonly batches: number;
}

export interface EventSourceListener {
  /** Called for each live batch in the order of arrival; the payload is the callee's to keep. */
  batch(batch: PublishedBatch): void;
  /** A publisher was reached, at first or again: what it published meanwhile was missed. */
  connected?(): void;
}

/**
 * The KV events of one data-parallel rank of one engine. It delivers and fetches; whoever listens keeps count of
 * the numbers. Every method may fail with what went wrong at the other end.
 */
export interface EventSource {
  readonly dpRank: number;
  start(listener: EventSourceListener): Promise<void>;
  /** Fetches what the publisher keeps from a number on, in order; waits at most so long for each next batch. */
  replay(
    fromSeq: number,
    onBatch: (batch: PublishedBatch) => void,
    timeoutMs?: number,
  ): Promise<ReplayOutcome>;
  /** All blocks held now; undefined where the engine cannot tell. */
  snapshot(): Promise<RankBlocks | undefined>;
  stop(): Promise<void>;
}
