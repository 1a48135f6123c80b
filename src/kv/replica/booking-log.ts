import type { Clock } from '../../base/clock.ts';
import type { BookingState, ReplicaOp } from '../../formats/replica/replica-message.ts';
import type { WorkerKey } from '../event.ts';
import type { ActiveRequest, ActiveSequences } from '../sequences/active-sequences.ts';
import type { BookingJournal } from '../sequences/booking-journal.ts';
import { stateOf } from './booking-state.ts';

export interface BookingLogOptions {
  readonly clock: Clock;
  readonly sequences: ActiveSequences;
  /** Undefined for a rank that left. */
  readonly keyOf: (rank: number) => WorkerKey | undefined;
  readonly onChange: () => void;
}

/** Latest changes kept for peers that missed some; what is older is told by a snapshot. */
const KEEP_OPS = 4096;
/** 4 MB. */
const KEEP_HASHES = 524_288;

/** A router's own changes of bookings, numbered from 1; keeps the latest, and can tell what is booked now. */
export class BookingLog implements BookingJournal {
  readonly #options: BookingLogOptions;
  /** Kept changes; the last has the number `next - 1`. */
  #ops: ReplicaOp[] = [];
  #hashes = 0;
  #next = 1;

  constructor(options: BookingLogOptions) {
    this.#options = options;
  }

  /** Number that the next change gets. */
  get next(): number {
    return this.#next;
  }

  added(request: ActiveRequest): void {
    const { clock, keyOf } = this.#options;
    const key = keyOf(request.rank);
    if (key !== undefined) this.#append({ kind: 'add', booking: stateOf(request, key, clock.nowMs()) });
  }

  prefillCompleted({ requestId }: ActiveRequest): void {
    this.#append({ kind: 'prefill_complete', requestId });
  }

  outputBlocksAdded({ requestId }: ActiveRequest, blocks: number, fraction: number | undefined): void {
    this.#append({ kind: 'output_block', requestId, blocks, fraction });
  }

  freed({ requestId }: ActiveRequest): void {
    this.#append({ kind: 'free', requestId });
  }

  /** Changes from that number on; undefined when the first of them are no longer kept, or were never made. */
  since(number: number): readonly ReplicaOp[] | undefined {
    const skipped = number - (this.#next - this.#ops.length);
    return skipped < 0 || number > this.#next ? undefined : this.#ops.slice(skipped);
  }

  /** All own bookings as they are now, reflecting every change before `next`. */
  snapshot(): BookingState[] {
    const { clock, sequences, keyOf } = this.#options;
    const nowMs = clock.nowMs();
    const states: BookingState[] = [];
    for (const request of sequences.requests()) {
      const key = request.foreign ? undefined : keyOf(request.rank);
      if (key !== undefined) states.push(stateOf(request, key, nowMs));
    }
    return states;
  }

  #append(op: ReplicaOp): void {
    this.#ops.push(op);
    this.#hashes += hashesIn(op);
    this.#next++;
    // Half is dropped at once: an array is dear to shift.
    if (this.#ops.length > 2 * KEEP_OPS || this.#hashes > 2 * KEEP_HASHES) this.#trim();
    this.#options.onChange();
  }

  #trim(): void {
    let from = Math.max(0, this.#ops.length - KEEP_OPS);
    let hashes = 0;
    for (let i = this.#ops.length - 1; i >= from; i--) {
      hashes += hashesIn(this.#ops[i]!);
      if (hashes > KEEP_HASHES) from = i + 1;
    }
    this.#ops = this.#ops.slice(from);
    this.#hashes = this.#ops.reduce((sum, op) => sum + hashesIn(op), 0);
  }
}

export function hashesIn(op: ReplicaOp): number {
  return op.kind === 'add' ? op.booking.hashes.length : 0;
}
