/** One life of a router: a restart under the same name has a higher incarnation. */
export interface RouterLife {
  readonly router: string;
  /** Milliseconds since the Unix epoch at its start. */
  readonly incarnation: number;
}

/** One request's place on a rank, as its router booked it and as far as it has got. */
export interface BookingState {
  readonly requestId: string;
  /** u64 as decimal text. */
  readonly workerId: string;
  readonly dpRank: number;
  /** Sequence hashes of the prompt blocks that other requests may share. */
  readonly hashes: BigUint64Array;
  /** Blocks nobody can share: of output, and of prompts booked by number. */
  readonly ownBlocks: number;
  /** Of each block that only this request owns, 0..1. */
  readonly weight: number;
  /** Prompt tokens. */
  readonly isl: number;
  /** Prompt tokens that were to be computed; 0 once they are. */
  readonly prefillTokens: number;
  readonly expectedOutputTokens: number | undefined;
  /** Since it was booked, when this was written. */
  readonly ageMs: number;
}

/** One change of a router's own bookings. */
export type ReplicaOp =
  | { readonly kind: 'add'; readonly booking: BookingState }
  | { readonly kind: 'prefill_complete'; readonly requestId: string }
  | {
      readonly kind: 'output_block';
      readonly requestId: string;
      readonly blocks: number;
      /** New weight of the blocks that only this request owns; unchanged if undefined. */
      readonly fraction: number | undefined;
    }
  | { readonly kind: 'free'; readonly requestId: string };

/** What routers of the same workers tell each other. `from` is always the sender. */
export type ReplicaMessage = ReplicaOps | ReplicaHello | ReplicaBye | ReplicaAsk | ReplicaSnapshot;

/** Changes in order, numbered from `first` on; without any, a sign of life that tells the next number. */
export interface ReplicaOps {
  readonly kind: 'ops';
  readonly from: RouterLife;
  readonly first: number;
  readonly ops: readonly ReplicaOp[];
  /** The sender's wall clock. */
  readonly sentMs: number;
}

/** A router joined; with `restore` it asks for what others hold of its former life. */
export interface ReplicaHello {
  readonly kind: 'hello';
  readonly from: RouterLife;
  readonly restore: boolean;
}

/** A router leaves in good order: its bookings are over. */
export interface ReplicaBye {
  readonly kind: 'bye';
  readonly from: RouterLife;
}

/** Asks router `of` for its changes from number `next` on; 0 asks for a snapshot. */
export interface ReplicaAsk {
  readonly kind: 'ask';
  readonly from: RouterLife;
  readonly of: string;
  readonly next: number;
}

/** A part of all bookings of `about`: the sender itself, or a life of the receiver that the sender heard. */
export interface ReplicaSnapshot {
  readonly kind: 'snapshot';
  readonly from: RouterLife;
  readonly about: RouterLife;
  /** Number of the first change that the bookings do not reflect. */
  readonly next: number;
  /** From 0. */
  readonly part: number;
  readonly parts: number;
  readonly bookings: readonly BookingState[];
}
