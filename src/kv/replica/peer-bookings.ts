import type { Clock } from '../../base/clock.ts';
import type {
  BookingState,
  ReplicaOp,
  ReplicaSnapshot,
  RouterLife,
} from '../../formats/replica/replica-message.ts';
import type { WorkerKey } from '../event.ts';
import type { ActiveRequest, ActiveSequences } from '../sequences/active-sequences.ts';

export interface PeerBookingsOptions {
  readonly clock: Clock;
  readonly life: RouterLife;
  readonly sequences: ActiveSequences;
  /** Undefined for a rank that this router does not know, or not yet. */
  readonly rankOf: (key: WorkerKey) => number | undefined;
  /** Changes were missed: they must be asked for. */
  readonly onGap: () => void;
}

interface PeerBooking {
  state: BookingState;
  /** On this router's clock. */
  readonly bookedMs: number;
  /** Absent while its rank is unknown here. */
  active: ActiveRequest | undefined;
}

interface Held {
  readonly first: number;
  readonly ops: readonly ReplicaOp[];
}

interface PartialSnapshot {
  readonly next: number;
  readonly parts: (readonly BookingState[] | undefined)[];
  missing: number;
}

const MAX_BOOKINGS = 65_536;
const MAX_HELD = 256;
const MAX_PARTS = 4096;

/**
 * The bookings of one life of a peer. Applies its changes in order; holds those beyond a gap until it is mended by
 * the missing changes or by a snapshot. Bookings on ranks unknown here wait until the rank joins.
 */
export class PeerBookings {
  readonly life: RouterLife;
  /** When it was last asked for what is missing. */
  askedMs = Number.NEGATIVE_INFINITY;
  heardMs: number;
  /** From the peer's wall clock to this one's, of its latest message; clocks that differ show here. */
  lagMs = 0;
  readonly #options: PeerBookingsOptions;
  readonly #bookings = new Map<string, PeerBooking>();
  /** Number of the next change to apply; undefined until the past is known. */
  #next: number | undefined;
  /** One more than the newest change heard of. */
  #announced = 0;
  #held: Held[] = [];
  #partial: PartialSnapshot | undefined;

  constructor(options: PeerBookingsOptions) {
    this.#options = options;
    this.life = options.life;
    this.heardMs = options.clock.nowMs();
  }

  get size(): number {
    return this.#bookings.size;
  }

  /** Number of the next change to ask for; 0 when everything is. */
  get next(): number {
    return this.#next ?? 0;
  }

  /** Changes that are known to be missing; at least 1 before the past is known. */
  get behind(): number {
    return this.#next === undefined
      ? Math.max(1, this.#announced - 1)
      : Math.max(0, this.#announced - this.#next);
  }

  /** Takes changes numbered from `first` on; those known already are skipped. */
  take(first: number, ops: readonly ReplicaOp[]): void {
    const wasWhole = this.#next !== undefined && this.behind === 0;
    this.#announced = Math.max(this.#announced, first + ops.length);
    if (this.#next === undefined && first === 1) this.#next = 1;
    if (this.#next === undefined || first > this.#next) {
      // What does not fit is asked for again once what came before it is mended.
      if (ops.length > 0 && this.#held.length < MAX_HELD) this.#held.push({ first, ops });
      if (wasWhole) this.#options.onGap();
      return;
    }
    this.#apply(first, ops);
    this.#applyHeld();
  }

  /** Takes a part of a snapshot; true once it is whole and in use. */
  takeSnapshot({ next, part, parts, bookings }: ReplicaSnapshot): boolean {
    if (parts < 1 || parts > MAX_PARTS || part >= parts || next < this.next) return false;
    let partial = this.#partial;
    if (partial?.next !== next || partial.parts.length !== parts) {
      partial = { next, parts: new Array(parts).fill(undefined), missing: parts };
      this.#partial = partial;
    }
    if (partial.parts[part] !== undefined) return false;
    partial.parts[part] = bookings;
    if (--partial.missing > 0) return false;
    this.#partial = undefined;
    this.#load(
      next,
      partial.parts.flatMap((each) => each ?? []),
    );
    return true;
  }

  /** Books what waited for ranks that have joined meanwhile. */
  ranksChanged(): void {
    for (const booking of this.#bookings.values()) if (booking.active?.live !== true) this.#book(booking);
  }

  /** All of them, as they are now. */
  states(): BookingState[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#bookings.values()].map(({ state, bookedMs }) => ({ ...state, ageMs: nowMs - bookedMs }));
  }

  /** Frees everything: the peer is gone. */
  clear(): void {
    for (const requestId of [...this.#bookings.keys()]) this.#free(requestId);
    this.#held = [];
    this.#partial = undefined;
  }

  #apply(first: number, ops: readonly ReplicaOp[]): void {
    const known = this.#next! - first;
    for (const op of known === 0 ? ops : ops.slice(known)) this.#applyOp(op);
    this.#next = Math.max(this.#next!, first + ops.length);
  }

  #applyHeld(): void {
    const held = this.#held.sort((a, b) => a.first - b.first);
    while (held.length > 0 && held[0]!.first <= this.#next!) {
      const { first, ops } = held.shift()!;
      this.#apply(first, ops);
    }
  }

  #applyOp(op: ReplicaOp): void {
    if (op.kind === 'add') this.#add(op.booking);
    else if (op.kind === 'free') this.#free(op.requestId);
    else {
      const booking = this.#bookings.get(op.requestId);
      if (booking === undefined) return;
      const { state } = booking;
      if (op.kind === 'prefill_complete') this.#advance(booking, { ...state, prefillTokens: 0 });
      else {
        const ownBlocks = state.ownBlocks + op.blocks;
        this.#advance(booking, { ...state, ownBlocks, weight: op.fraction ?? state.weight });
      }
    }
  }

  /** New ones first: a rank must not seem idle in between, or waiting requests would rush to it. */
  #load(next: number, states: readonly BookingState[]): void {
    const gone = new Set(this.#bookings.keys());
    for (const state of states) {
      const known = this.#bookings.get(state.requestId);
      gone.delete(state.requestId);
      if (known === undefined || !isSame(known.state, state)) this.#add(state);
      else this.#advance(known, state);
    }
    for (const requestId of gone) this.#free(requestId);
    this.#next = next;
    this.#announced = Math.max(this.#announced, next);
    this.#applyHeld();
  }

  #add(state: BookingState): void {
    this.#free(state.requestId);
    // A peer that never frees must not fill this router's memory.
    if (this.#bookings.size >= MAX_BOOKINGS) return;
    const booking = { state, bookedMs: this.#options.clock.nowMs() - state.ageMs, active: undefined };
    this.#bookings.set(state.requestId, booking);
    this.#book(booking);
  }

  #book(booking: PeerBooking): void {
    const { sequences, rankOf, clock } = this.#options;
    const { state, bookedMs } = booking;
    const rank = rankOf(state);
    if (rank === undefined) return;
    booking.active = sequences.add({
      // Clients of different routers may choose the same id.
      requestId: `${this.life.router}\n${state.requestId}`,
      rank,
      blocks: state.hashes,
      isl: state.isl,
      newTokens: state.prefillTokens,
      expectedOutputTokens: state.expectedOutputTokens,
      ageMs: clock.nowMs() - bookedMs,
      foreign: true,
    });
    if (booking.active === undefined || (state.ownBlocks === 0 && state.weight === 1)) return;
    sequences.addOutputBlocks(booking.active, state.ownBlocks, state.weight);
  }

  #advance(booking: PeerBooking, to: BookingState): void {
    const { active, state: from } = booking;
    booking.state = to;
    if (active === undefined) return;
    const { sequences } = this.#options;
    if (from.prefillTokens > 0 && to.prefillTokens === 0) sequences.completePrefill(active);
    const blocks = to.ownBlocks - from.ownBlocks;
    if (blocks > 0 || to.weight !== from.weight) sequences.addOutputBlocks(active, blocks, to.weight);
  }

  #free(requestId: string): void {
    const booking = this.#bookings.get(requestId);
    if (booking === undefined) return;
    this.#bookings.delete(requestId);
    if (booking.active !== undefined) this.#options.sequences.free(booking.active);
  }
}

function isSame(a: BookingState, b: BookingState): boolean {
  return (
    a.workerId === b.workerId &&
    a.dpRank === b.dpRank &&
    a.isl === b.isl &&
    a.hashes.length === b.hashes.length &&
    a.hashes.at(-1) === b.hashes.at(-1) &&
    b.prefillTokens <= a.prefillTokens &&
    b.ownBlocks >= a.ownBlocks
  );
}
