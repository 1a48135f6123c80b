import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import { decodeReplicaMessage, encodeReplicaMessage } from '../../formats/replica/message-codec.ts';
import type { ReplicaMessage } from '../../formats/replica/replica-message.ts';
import { routerConfig } from '../config.ts';
import { KvRouter } from '../kv-router.ts';
import type { Selection } from '../selection.ts';
import type { Replica, ReplicaOptions } from './replica.ts';

const BLOCK_SIZE = 4;

interface Member {
  readonly name: string;
  readonly router: KvRouter;
  readonly replica: Replica;
  place(request: { readonly id: string; readonly first?: number; readonly tokens?: number }): Selection;
  /** Ends without a word, as a process that is killed. */
  crash(): void;
}

/** Routers whose messages travel as bytes, with delays and losses as told. */
class Network {
  readonly clock = new VirtualClock({ wallOriginMs: 1_700_000_000_000 });
  readonly random: SeededRandom;
  lossRate = 0;
  /** Nothing can be sent, and senders know. */
  down = false;
  /** Messages that were sent, by kind. */
  readonly sent: Record<string, number> = {};
  readonly #members = new Map<string, Member>();

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
  }

  join(name: string, options: Partial<ReplicaOptions> & { readonly workers?: number } = {}): Member {
    const { workers = 2, ...rest } = options;
    const { clock } = this;
    const config = routerConfig({ trackOutputBlocks: true });
    const router = new KvRouter({ blockSize: BLOCK_SIZE, clock, random: new SeededRandom(1), config });
    for (let id = 1; id <= workers; id++) router.addWorker({ workerId: String(id) });
    let alive = true;
    const replica = router.shareBookings({
      router: name,
      send: (message, to) => {
        if (alive && !this.down) this.#carry(name, message, to);
        return alive && !this.down;
      },
      ...rest,
    });
    const member: Member = {
      name,
      router,
      replica,
      place({ id, first = 0, tokens = 16 }) {
        const prompt = Uint32Array.from({ length: tokens }, (_, i) => first + i);
        const outcome = router.select({ requestId: id, tokens: prompt });
        if (outcome.kind === 'refused') throw new Error(outcome.reason);
        return outcome;
      },
      crash: () => {
        alive = false;
        this.#members.delete(name);
        router.stop();
      },
    };
    this.#members.set(name, member);
    return member;
  }

  pass(ms: number): void {
    this.clock.advanceTo(this.clock.nowMs() + ms);
  }

  #carry(from: string, message: ReplicaMessage, to: string | undefined): void {
    this.sent[message.kind] = (this.sent[message.kind] ?? 0) + 1;
    const bytes = encodeReplicaMessage(message);
    for (const name of this.#members.keys()) {
      if (name === from || (to !== undefined && to !== name)) continue;
      if (this.random.next() < this.lossRate) continue;
      const delayMs = this.lossRate > 0 ? this.random.nextInt(20) : 1;
      this.clock.at(this.clock.nowMs() + delayMs, () =>
        this.#members.get(name)?.replica.receive(decodeReplicaMessage(bytes)!),
      );
    }
  }
}

const loadsOf = ({ router }: Member) => router.loads().map(({ busy: _, ...load }) => load);
const total = (member: Member): number => loadsOf(member).reduce((sum, load) => sum + load.activeRequests, 0);

describe('a replica', () => {
  test('weighs what its peers have booked, to the end', () => {
    const network = new Network();
    const [a, b] = [network.join('a'), network.join('b')];
    network.pass(10);
    const { booking } = a.place({ id: 'r1' });
    network.pass(5);
    expect(loadsOf(b)).toEqual(loadsOf(a));
    expect(total(b)).toBe(1);
    booking!.outputTokens(9);
    network.pass(5);
    expect(loadsOf(b)).toEqual(loadsOf(a));
    expect(b.router.loads().map((load) => load.activePrefillTokens)).toEqual([0, 0]);
    booking!.free();
    network.pass(5);
    expect(total(b)).toBe(0);
  });

  test('sends the second of two equal prompts elsewhere, as one router would', () => {
    const network = new Network();
    const [a, b] = [network.join('a'), network.join('b')];
    const first = a.place({ id: 'r1', first: 0 });
    network.pass(5);
    const second = b.place({ id: 'r1', first: 100 });
    expect(second.worker.workerId).not.toBe(first.worker.workerId);
  });

  test('shares blocks of common prefixes with the requests of its peers', () => {
    const network = new Network();
    const [a, b] = [network.join('a', { workers: 1 }), network.join('b', { workers: 1 })];
    a.place({ id: 'x', tokens: 16 });
    b.place({ id: 'y', tokens: 16 });
    network.pass(5);
    expect(loadsOf(a)[0]).toMatchObject({ activeDecodeBlocks: 4, activeRequests: 2 });
    expect(loadsOf(b)).toEqual(loadsOf(a));
  });

  test('hears of a late joiner and tells it everything', async () => {
    const network = new Network();
    const a = network.join('a');
    const bookings = Array.from({ length: 40 }, (_, i) => a.place({ id: `r${i}`, first: 1000 * i }).booking!);
    bookings[0]!.outputTokens(10);
    network.pass(30_000);
    const b = network.join('b');
    let joined = false;
    void b.replica.joined.then(() => {
      joined = true;
    });
    network.pass(600);
    await Promise.resolve();
    expect(joined).toBe(false);
    network.pass(1000);
    await Promise.resolve();
    expect(joined).toBe(true);
    expect(loadsOf(b)).toEqual(loadsOf(a));
    expect(b.replica.peers()).toMatchObject([{ router: 'a', bookings: 40, behind: 0 }]);
  });

  test('asks a peer for what was lost, and for a snapshot of what is no longer kept', () => {
    const network = new Network();
    const gaps: string[] = [];
    const a = network.join('a');
    const b = network.join('b', { observer: { gap: (router) => gaps.push(router) } });
    network.pass(2000);
    network.lossRate = 1;
    a.place({ id: 'lost' });
    network.pass(100);
    network.lossRate = 0;
    a.place({ id: 'heard', first: 500 });
    network.pass(10);
    expect(loadsOf(b)).toEqual(loadsOf(a));
    expect(gaps).toEqual(['a']);
    expect(network.sent.snapshot ?? 0).toBe(0);
    network.lossRate = 1;
    for (let i = 0; i < 10_000; i++) a.place({ id: `many${i}`, first: 7000 + i }).booking!.free();
    const kept = a.place({ id: 'kept', first: 900 });
    network.pass(100);
    network.lossRate = 0;
    // Only the sign of life tells that something was missed.
    network.pass(1100);
    expect(network.sent.snapshot).toBe(1);
    expect(loadsOf(b)).toEqual(loadsOf(a));
    kept.booking!.free();
    network.pass(5);
    expect(total(b)).toBe(2);
  });

  test('drops the bookings of a peer that dies, leaves, or restarts', () => {
    const network = new Network();
    const ends: string[] = [];
    const watcher = network.join('w', {
      observer: { peerLeft: (router, end) => ends.push(`${router} ${end}`) },
    });
    const [dies, leaves, restarts] = [network.join('d'), network.join('l'), network.join('r')];
    for (const each of [dies, leaves, restarts]) each.place({ id: 'one' });
    network.pass(10);
    expect(total(watcher)).toBe(3);
    leaves.replica.stop();
    network.pass(10);
    expect(total(watcher)).toBe(2);
    restarts.crash();
    network.join('r');
    network.pass(10);
    expect(total(watcher)).toBe(1);
    dies.crash();
    network.pass(8000);
    expect(total(watcher)).toBe(1);
    network.pass(4000);
    expect(total(watcher)).toBe(0);
    expect(ends).toEqual(['l left', 'r restarted', 'd expired']);
  });

  test('gets the bookings of its former life back from a peer, and can end them', () => {
    const network = new Network();
    const peer = network.join('peer');
    const first = network.join('a');
    first.place({ id: 'keep', first: 0 }).booking!.outputTokens(9);
    first.place({ id: 'also', first: 100 });
    network.pass(10);
    const before = loadsOf(peer);
    first.crash();
    // Workers are found only after the restart.
    network.down = true;
    const again = network.join('a', { restore: true, workers: 0 });
    network.pass(3000);
    network.down = false;
    again.replica.greet();
    network.pass(700);
    expect(total(again)).toBe(0);
    again.router.addWorker({ workerId: '1' });
    again.router.addWorker({ workerId: '2' });
    network.pass(1500);
    expect(loadsOf(again)).toEqual(before);
    expect(loadsOf(peer)).toEqual(before);
    again.router.bookingOf('keep')!.free();
    again.router.bookingOf('also')!.free();
    network.pass(10);
    expect([total(again), total(peer)]).toEqual([0, 0]);
    expect(again.router.bookingOf('keep')).toBeUndefined();
  });

  test('books on a worker that it learns of after its peers did', () => {
    const network = new Network();
    const [a, b] = [network.join('a', { workers: 2 }), network.join('b', { workers: 1 })];
    a.place({ id: 'x', first: 0 });
    a.place({ id: 'y', first: 100 });
    network.pass(5);
    expect(total(b)).toBe(1);
    b.router.addWorker({ workerId: '2' });
    expect(loadsOf(b)).toEqual(loadsOf(a));
    b.router.removeWorker('2');
    b.router.addWorker({ workerId: '2' });
    expect(loadsOf(b)).toEqual(loadsOf(a));
  });

  test('ignores another router of its own name, and a life that is over', () => {
    const network = new Network();
    const ignored: string[] = [];
    const a = network.join('a', { observer: { ignored: (reason) => ignored.push(reason) } });
    const from = { router: 'a', incarnation: 1 };
    a.replica.receive({ kind: 'bye', from });
    const ops = [{ kind: 'free', requestId: 'x' }] as const;
    const old = { router: 'b', incarnation: 1 };
    a.replica.receive({ kind: 'ops', from: { router: 'b', incarnation: 2 }, first: 1, ops, sentMs: 0 });
    a.replica.receive({ kind: 'ops', from: old, first: 1, ops, sentMs: 0 });
    a.replica.receive({ kind: 'bye', from: old });
    expect(ignored).toEqual(['own_name', 'old_life']);
    expect(a.replica.peers()).toMatchObject([{ router: 'b', incarnation: 2 }]);
  });

  test('agrees with all others once messages arrive again, whatever was lost, doubled or late', () => {
    const action = fc.record({
      member: fc.nat(2),
      kind: fc.constantFrom('place', 'output', 'free', 'restart', 'pass'),
      pick: fc.nat(99),
    });
    fc.assert(
      fc.property(fc.nat(), fc.array(action, { maxLength: 60 }), (seed, actions) => {
        const network = new Network(seed);
        const members = ['a', 'b', 'c'].map((name) => network.join(name));
        const live: Selection[][] = [[], [], []];
        network.lossRate = 0.3;
        for (const [i, { member, kind, pick }] of actions.entries()) {
          const bookings = live[member]!;
          const chosen = bookings[pick % Math.max(1, bookings.length)];
          if (kind === 'place')
            bookings.push(members[member]!.place({ id: `r${i}`, first: 50 * (pick % 5) }));
          else if (kind === 'output') chosen?.booking?.outputTokens(3);
          else if (kind === 'free') chosen?.booking?.free();
          else if (kind === 'pass') network.pass(pick * 20);
          else {
            members[member]!.crash();
            network.pass(1);
            members[member] = network.join(members[member]!.name);
            live[member] = [];
          }
        }
        network.lossRate = 0;
        network.pass(4000);
        const [a, b, c] = members.map(loadsOf);
        expect(b).toEqual(a);
        expect(c).toEqual(a);
        for (const { router } of members) router.stop();
      }),
      { numRuns: 100 },
    );
  });
});

describe('a replica message', () => {
  test('is nothing when its bytes are torn, of another version, or nonsense', () => {
    const from = { router: 'a', incarnation: 5 };
    const hashes = BigUint64Array.of(2n ** 64n - 1n, 3n);
    const booking = {
      requestId: 'r',
      workerId: '18446744073709551615',
      dpRank: 1,
      hashes,
      ownBlocks: 2,
      weight: 0.5,
      isl: 9,
      prefillTokens: 4,
      expectedOutputTokens: undefined,
      ageMs: 1.5,
    };
    const message: ReplicaMessage = {
      kind: 'ops',
      from,
      first: 7,
      ops: [
        { kind: 'add', booking },
        { kind: 'output_block', requestId: 'r', blocks: 1, fraction: undefined },
        { kind: 'free', requestId: 'r' },
      ],
      sentMs: 12.5,
    };
    const bytes = encodeReplicaMessage(message);
    expect(decodeReplicaMessage(bytes)).toEqual(message);
    expect(decodeReplicaMessage(Buffer.from(bytes))).toEqual(message);
    for (let length = 0; length < bytes.length; length++)
      expect(decodeReplicaMessage(bytes.slice(0, length))).toBeUndefined();
    const other = bytes.slice();
    other[1] = 2;
    expect(decodeReplicaMessage(other)).toBeUndefined();
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = bytes.slice();
        changed[at] = value;
        decodeReplicaMessage(changed);
      }),
    );
  });
});
