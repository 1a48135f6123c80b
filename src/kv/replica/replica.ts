import type { CancelTimer } from '../../base/clock.ts';
import type {
  BookingState,
  ReplicaAsk,
  ReplicaHello,
  ReplicaMessage,
  ReplicaSnapshot,
  RouterLife,
} from '../../formats/replica/replica-message.ts';
import { BookingLog, hashesIn } from './booking-log.ts';
import { chunksOf } from './booking-state.ts';
import { PeerBookings } from './peer-bookings.ts';
import type { ReplicaHost } from './replica-host.ts';
import type { PeerEnd, ReplicaObserver } from './replica-observer.ts';
import { Restoration } from './restoration.ts';

/** What a router says of itself to take part, and how its messages travel. */
export interface ReplicaOptions {
  /** Unique among the routers of the same workers; the same after a restart if bookings are to be restored. */
  readonly router: string;
  /**
   * To all peers, or to the one named; false if it is known not to have been sent. May lose messages, which is found
   * and mended; must not throw.
   */
  readonly send: (message: ReplicaMessage, to?: string) => boolean;
  /** Called once it has said goodbye: nothing is sent any more. */
  readonly close?: () => void;
  /** Ask peers for the bookings of this router's former life: for routers whose requests outlive them. */
  readonly restore?: boolean;
  readonly observer?: ReplicaObserver;
  /** How long changes are gathered for one message; 1 ms unless given. */
  readonly batchMs?: number;
  /** Between signs of life; 1 s unless given. */
  readonly heartbeatMs?: number;
  /** Silence after which a peer's bookings are dropped; 10 s unless given. */
  readonly peerTimeoutMs?: number;
}

/** What is known of a peer. */
export interface PeerStatus {
  readonly router: string;
  readonly incarnation: number;
  readonly bookings: number;
  /** Changes that are known to be missing. */
  readonly behind: number;
  /** From its wall clock to this one's, of its latest changes. */
  readonly lagMs: number;
  readonly heardAgeMs: number;
}

const BATCH_OPS = 256;
const MAX_PEERS = 256;
const ASK_AGAIN_MS = 500;
const SETTLE_MS = 500;
const JOIN_LIMIT_MS = 3000;

/**
 * One router's part in sharing bookings: tells its own, follows those of its peers. Messages may be lost, doubled or
 * late; numbers and signs of life show it, and what is missing is asked for.
 */
export class Replica {
  readonly life: RouterLife;
  readonly #options: ReplicaOptions;
  readonly #host: ReplicaHost;
  readonly #log: BookingLog;
  readonly #peers = new Map<string, PeerBookings>();
  readonly #restoration: Restoration;
  /** Resolves when the bookings of all peers that answered are known; after 3 s in any case. */
  readonly joined: Promise<void>;
  #resolveJoined: () => void = () => {};
  readonly #startMs: number;
  /** Number of the first own change that was not sent yet. */
  #unsent = 1;
  #cancelFlush: CancelTimer | undefined;
  #cancelBeat: CancelTimer | undefined;
  #stopped = false;

  constructor(host: ReplicaHost, options: ReplicaOptions) {
    this.#host = host;
    this.#options = options;
    this.joined = new Promise((resolve) => {
      this.#resolveJoined = resolve;
    });
    this.#startMs = host.clock.nowMs();
    this.life = { router: options.router, incarnation: Math.trunc(host.clock.wallMs()) };
    this.#log = new BookingLog({ ...host, onChange: () => this.#changed() });
    this.#restoration = new Restoration(host, options.restore === true, (count) =>
      options.observer?.restored?.(count),
    );
  }

  /** Announces itself; call it once messages can come. */
  start(): void {
    this.#host.sequences.keepJournal(this.#log);
    this.greet();
    this.#beat();
  }

  /** Asks all for a sign of life, and for its former life if that is still wanted: messages can travel again. */
  greet(): void {
    const restore = this.#restoration.waiting;
    if (this.#send({ kind: 'hello', from: this.life, restore }) && restore)
      this.#restoration.gather(() => this.#settle());
  }

  /** Leaves in good order. Peers' bookings are dropped; own ones stay. */
  stop(): void {
    if (this.#stopped) return;
    this.#flush();
    this.#stopped = true;
    this.#cancelBeat?.();
    this.#restoration.stop();
    this.#host.sequences.keepJournal(undefined);
    this.#options.send({ kind: 'bye', from: this.life });
    this.#options.close?.();
    for (const peer of this.#peers.values()) peer.clear();
    this.#peers.clear();
    this.#resolveJoined();
  }

  peers(): PeerStatus[] {
    const nowMs = this.#host.clock.nowMs();
    return [...this.#peers.values()].map(({ life, size, behind, lagMs, heardMs }) => ({
      ...life,
      bookings: size,
      behind,
      lagMs,
      heardAgeMs: nowMs - heardMs,
    }));
  }

  /** Ranks joined: bookings that waited for them are made. */
  ranksChanged(): void {
    for (const peer of this.#peers.values()) peer.ranksChanged();
    this.#restoration.ranksChanged();
  }

  /** Takes a message of a peer; messages of this router itself are left alone. */
  receive(message: ReplicaMessage): void {
    const { from } = message;
    if (this.#stopped) return;
    if (from.router === this.life.router) {
      if (from.incarnation !== this.life.incarnation) this.#options.observer?.ignored?.('own_name');
      return;
    }
    if (message.kind === 'hello') this.#welcome(message);
    else if (message.kind === 'bye') this.#drop(from, 'left');
    else if (message.kind === 'ask') this.#answer(message);
    else if (message.kind === 'snapshot' && message.about.router === this.life.router)
      this.#restoration.take(message, this.life);
    else this.#follow(message);
    this.#settle();
  }

  #follow(message: Exclude<ReplicaMessage, ReplicaHello | ReplicaAsk | { kind: 'bye' }>): void {
    const peer = this.#peerOf(message.from);
    if (peer === undefined) return;
    const { clock } = this.#host;
    peer.heardMs = clock.nowMs();
    if (message.kind === 'snapshot') {
      if (peer.takeSnapshot(message)) this.#options.observer?.snapshotLoaded?.(message.from.router);
    } else {
      peer.lagMs = Math.max(0, clock.wallMs() - message.sentMs);
      peer.take(message.first, message.ops);
      if (message.ops.length > 0) this.#options.observer?.received?.(message.from.router, message.ops.length);
    }
    this.#askIfBehind(peer);
  }

  /** The peer of that life; undefined for lives that are over and when there are too many. */
  #peerOf(life: RouterLife): PeerBookings | undefined {
    const known = this.#peers.get(life.router);
    if (known !== undefined && known.life.incarnation > life.incarnation) {
      this.#options.observer?.ignored?.('old_life');
      return undefined;
    }
    if (known?.life.incarnation === life.incarnation) return known;
    if (known !== undefined) this.#end(known, 'restarted');
    if (this.#peers.size >= MAX_PEERS) {
      this.#options.observer?.ignored?.('too_many_peers');
      return undefined;
    }
    const { observer } = this.#options;
    const peer = new PeerBookings({ ...this.#host, life, onGap: () => observer?.gap?.(life.router) });
    this.#peers.set(life.router, peer);
    observer?.peerJoined?.(life.router);
    return peer;
  }

  /** A newcomer hears where this router is, and what it left here if it wants it back. */
  #welcome({ from, restore }: ReplicaHello): void {
    const known = this.#peers.get(from.router);
    if (restore && known !== undefined && known.life.incarnation < from.incarnation)
      this.#sendSnapshot(from.router, known.life, known.next, known.states());
    // With `restore` its bookings stay until its new life tells of them.
    else this.#peerOf(from);
    this.#flush();
    this.#sendLife(from.router);
  }

  #answer({ from, of, next }: ReplicaAsk): void {
    if (of !== this.life.router) return;
    this.#flush();
    const ops = next === 0 ? undefined : this.#log.since(next);
    if (ops === undefined) {
      this.#sendSnapshot(from.router, this.life, this.#log.next, this.#log.snapshot());
      this.#options.observer?.snapshotSent?.(from.router);
    } else this.#sendOps(next, ops, from.router);
  }

  #askIfBehind(peer: PeerBookings): void {
    const nowMs = this.#host.clock.nowMs();
    if (peer.behind === 0 || nowMs - peer.askedMs < ASK_AGAIN_MS) return;
    peer.askedMs = nowMs;
    const { router } = peer.life;
    this.#send({ kind: 'ask', from: this.life, of: router, next: peer.next }, router);
  }

  #changed(): void {
    if (this.#log.next - this.#unsent >= BATCH_OPS) this.#flush();
    const { clock } = this.#host;
    this.#cancelFlush ??= clock.at(clock.nowMs() + (this.#options.batchMs ?? 1), () => this.#flush());
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    const first = this.#unsent;
    const ops = this.#log.since(first) ?? [];
    this.#unsent = this.#log.next;
    if (ops.length === 0) return;
    this.#sendOps(first, ops);
    this.#options.observer?.published?.(ops.length);
  }

  #sendOps(first: number, ops: ReturnType<BookingLog['since']> & object, to?: string): void {
    const sentMs = this.#host.clock.wallMs();
    let number = first;
    for (const chunk of chunksOf(ops, hashesIn)) {
      this.#send({ kind: 'ops', from: this.life, first: number, ops: chunk, sentMs }, to);
      number += chunk.length;
    }
  }

  #sendLife(to?: string): void {
    const sentMs = this.#host.clock.wallMs();
    this.#send({ kind: 'ops', from: this.life, first: this.#log.next, ops: [], sentMs }, to);
  }

  #sendSnapshot(to: string, about: RouterLife, next: number, states: readonly BookingState[]): void {
    const chunks = chunksOf(states, ({ hashes }) => hashes.length);
    const parts = Math.max(1, chunks.length);
    for (let part = 0; part < parts; part++) {
      const bookings = chunks[part] ?? [];
      const message: ReplicaSnapshot = {
        kind: 'snapshot',
        from: this.life,
        about,
        next,
        part,
        parts,
        bookings,
      };
      this.#send(message, to);
    }
  }

  #send(message: ReplicaMessage, to?: string): boolean {
    return !this.#stopped && this.#options.send(message, to);
  }

  /** Shows that it lives, asks again, gives up who does not answer. */
  #beat(): void {
    const { clock } = this.#host;
    const { heartbeatMs = 1000, peerTimeoutMs = 10_000 } = this.#options;
    this.#flush();
    // Before a restoration is over, signs of the new life would make peers forget the old one.
    if (!this.#restoration.waiting) this.#sendLife();
    for (const peer of this.#peers.values()) {
      if (clock.nowMs() - peer.heardMs > peerTimeoutMs) this.#end(peer, 'expired');
      else this.#askIfBehind(peer);
    }
    this.#settle();
    this.#cancelBeat = clock.at(clock.nowMs() + heartbeatMs, () => this.#beat());
  }

  #settle(): void {
    const sinceMs = this.#host.clock.nowMs() - this.#startMs;
    const whole = [...this.#peers.values()].every((peer) => peer.behind === 0);
    if (this.#restoration.waiting && sinceMs < JOIN_LIMIT_MS) return;
    if ((sinceMs >= SETTLE_MS && whole) || sinceMs >= JOIN_LIMIT_MS) this.#resolveJoined();
  }

  #drop({ router, incarnation }: RouterLife, end: PeerEnd): void {
    const peer = this.#peers.get(router);
    if (peer !== undefined && peer.life.incarnation <= incarnation) this.#end(peer, end);
  }

  #end(peer: PeerBookings, end: PeerEnd): void {
    peer.clear();
    this.#peers.delete(peer.life.router);
    this.#options.observer?.peerLeft?.(peer.life.router, end);
  }
}
