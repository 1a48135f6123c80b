import type { CancelTimer } from '../../base/clock.ts';
import type { BookingState, ReplicaSnapshot, RouterLife } from '../../formats/replica/replica-message.ts';
import type { ReplicaHost } from './replica-host.ts';

interface Answer {
  readonly about: RouterLife;
  readonly next: number;
  readonly parts: (readonly BookingState[] | undefined)[];
  missing: number;
}

const WAIT_MS = 500;
/** Bookings whose worker does not come back are given up. */
const KEEP_MS = 300_000;
const MAX_PARTS = 4096;
const MAX_ANSWERS = 256;

/** Takes over the bookings of the router's former life, as the peer that heard most of it tells them. */
export class Restoration {
  readonly #host: ReplicaHost;
  readonly #onRestored: (bookings: number) => void;
  readonly #answers = new Map<string, Answer>();
  /** Bookings whose rank has not joined yet. */
  readonly #homeless = new Map<string, BookingState>();
  #cancel: CancelTimer | undefined;
  #waiting: boolean;
  #sinceMs = 0;

  constructor(host: ReplicaHost, wanted: boolean, onRestored: (bookings: number) => void) {
    this.#host = host;
    this.#waiting = wanted;
    this.#onRestored = onRestored;
  }

  /** Whether the former life is still to be asked for, or answers may still come. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Peers were asked: gathers answers for a while, then uses the best. */
  gather(onEnd: () => void): void {
    const { clock } = this.#host;
    this.#cancel?.();
    this.#cancel = clock.at(clock.nowMs() + WAIT_MS, () => {
      this.#waiting = false;
      this.#use();
      onEnd();
    });
  }

  take({ from, about, next, part, parts, bookings }: ReplicaSnapshot, self: RouterLife): void {
    if (!this.#waiting || about.incarnation >= self.incarnation) return;
    if (parts < 1 || parts > MAX_PARTS || part >= parts) return;
    let answer = this.#answers.get(from.router);
    if (answer === undefined) {
      if (this.#answers.size >= MAX_ANSWERS) return;
      answer = { about, next, parts: new Array(parts).fill(undefined), missing: parts };
      this.#answers.set(from.router, answer);
    }
    if (answer.next !== next || answer.parts.length !== parts || answer.parts[part] !== undefined) return;
    answer.parts[part] = bookings;
    answer.missing--;
  }

  ranksChanged(): void {
    const { clock } = this.#host;
    if (clock.nowMs() - this.#sinceMs > KEEP_MS) this.#homeless.clear();
    for (const [requestId, state] of this.#homeless) if (this.#book(state)) this.#homeless.delete(requestId);
  }

  stop(): void {
    this.#cancel?.();
    this.#waiting = false;
    this.#homeless.clear();
  }

  #use(): void {
    const whole = [...this.#answers.values()].filter(({ missing }) => missing === 0);
    whole.sort((a, b) => b.about.incarnation - a.about.incarnation || b.next - a.next);
    const states = whole[0]?.parts.flatMap((part) => part ?? []) ?? [];
    this.#answers.clear();
    this.#sinceMs = this.#host.clock.nowMs();
    for (const state of states) if (!this.#book(state)) this.#homeless.set(state.requestId, state);
    if (whole.length > 0) this.#onRestored(states.length);
  }

  /** False while the rank is unknown. */
  #book(state: BookingState): boolean {
    const { sequences, rankOf } = this.#host;
    const rank = rankOf(state);
    if (rank === undefined) return false;
    const request = sequences.add({
      requestId: state.requestId,
      rank,
      blocks: state.hashes,
      isl: state.isl,
      newTokens: state.prefillTokens,
      expectedOutputTokens: state.expectedOutputTokens,
      ageMs: state.ageMs,
    });
    if (request !== undefined && (state.ownBlocks > 0 || state.weight < 1))
      sequences.addOutputBlocks(request, state.ownBlocks, state.weight);
    return true;
  }
}
