import type { EngineEvent, EngineEventBatch } from '../../formats/kv-events/engine-event.ts';
import type { KvEvent } from '../event.ts';

/** A numbered batch of a publisher: an engine's own events, or events in the router's terms. */
export type SequencedBatch = EngineBatch | HashedBatch;

export interface EngineBatch {
  /** Rises by one with each batch of a publisher, and begins anew at 0 when its engine restarts. */
  readonly seq: number;
  readonly batch: EngineEventBatch;
}

interface HashedBatch {
  readonly seq: number;
  readonly events: readonly KvEvent[];
}

/** Everything a rank holds, as if stored just now, parents first. */
export type Snapshot = EngineSnapshot | HashedSnapshot;

interface EngineSnapshot {
  /** Number of the last batch that it reflects; -1 before the first. */
  readonly lastSeq: number;
  readonly engineEvents: readonly EngineEvent[];
}

interface HashedSnapshot {
  readonly lastSeq: number;
  readonly events: readonly KvEvent[];
}

/** Where the past of a stream can be had; whoever owns the sockets implements it. Either way may be missing. */
export interface EventSource {
  /** Salt of the blocks whose events name none, where a whole publisher serves one tenant. */
  readonly cacheSalt?: string | undefined;
  /**
   * Delivers what the publisher still keeps from a number on, in order. False when the end was not reached (then
   * what came is used, and the rest asked for again); rejects when there is nobody to ask.
   */
  replay?(fromSeq: number, deliver: (batch: SequencedBatch) => void, signal: AbortSignal): Promise<boolean>;
  snapshot?(signal: AbortSignal): Promise<Snapshot>;
}
