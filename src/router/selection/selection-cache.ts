import type { Clock } from '../../base/clock.ts';
import type { WorkerKey } from '../../kv/event.ts';
import type { PartitionKey } from '../partitions.ts';

/** A choice that was made and may be booked. */
export interface PendingSelection {
  readonly key: PartitionKey;
  readonly worker: WorkerKey;
  readonly blocks: BigUint64Array;
  readonly isl: number;
  /** Prompt tokens that it is reckoned to compute; 0 where these are not tracked. */
  readonly newTokens: number;
  readonly expectedOutputTokens: number | undefined;
}

interface Entry {
  readonly selection: PendingSelection;
  readonly expiresMs: number;
}

const LIFE_MS = 120_000;
const MAX_ENTRIES = 4096;
const MAX_BYTES = 256 * 1024 * 1024;

/** Choices by selection id, for two minutes; the oldest give way when there are too many. */
export class SelectionCache {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  put(selectionId: string, selection: PendingSelection): void {
    this.remove(selectionId);
    this.#entries.set(selectionId, { selection, expiresMs: this.#clock.nowMs() + LIFE_MS });
    this.#bytes += selection.blocks.byteLength;
    // Entries live equally long, so the oldest expires first.
    for (const [id, { expiresMs }] of this.#entries) {
      const fits = this.#entries.size <= MAX_ENTRIES && this.#bytes <= MAX_BYTES;
      if (fits && expiresMs > this.#clock.nowMs()) break;
      this.remove(id);
    }
  }

  find(selectionId: string): PendingSelection | undefined {
    const entry = this.#entries.get(selectionId);
    return entry !== undefined && entry.expiresMs > this.#clock.nowMs() ? entry.selection : undefined;
  }

  remove(selectionId: string): void {
    this.#bytes -= this.#entries.get(selectionId)?.selection.blocks.byteLength ?? 0;
    this.#entries.delete(selectionId);
  }
}
