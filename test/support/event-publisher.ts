import { sleepUntil, VirtualClock } from '../../src/base/clock.ts';
import { Fleet } from '../../src/kv/fleet.ts';
import { BlockHasher } from '../../src/kv/hash.ts';
import { NaiveIndex } from '../../src/kv/index/naive-index.ts';
import type { EngineBatch, EventSource, SequencedBatch } from '../../src/kv/intake/event-source.ts';
import { Intake } from '../../src/kv/intake/intake.ts';

export const BLOCK_SIZE = 2;
export const KEY = { workerId: '1', dpRank: 0 };

/** An engine with a cache of chained blocks, a publisher that numbers batches, and a ring for replays. */
export class EventPublisher {
  readonly ring: EngineBatch[] = [];
  readonly held = new Set<bigint>();
  seq = -1;
  #nowS = 1000;
  readonly #ringSize: number;

  constructor(ringSize = 10_000) {
    this.#ringSize = ringSize;
  }

  /** Stores or removes the block; removing takes its descendants along, as eviction does tail first. */
  toggle(path: number): EngineBatch {
    const hash = BigInt(path);
    if (!this.held.has(hash)) {
      const missing = ancestry(path).filter((id) => !this.held.has(BigInt(id)));
      for (const id of missing) this.held.add(BigInt(id));
      const parent = parentOf(missing[0]!);
      return this.#publish([
        {
          kind: 'stored',
          blockHashes: BigUint64Array.from(missing.map(BigInt)),
          parentHash: parent === 0 ? undefined : BigInt(parent),
          tokenIds: Uint32Array.from(missing.flatMap((id) => [id, id])),
          blockSize: BLOCK_SIZE,
        },
      ]);
    }
    const gone = [...this.held].filter((id) => ancestry(Number(id)).includes(path));
    for (const id of gone) this.held.delete(id);
    return this.#publish([{ kind: 'removed', blockHashes: BigUint64Array.from(gone) }]);
  }

  clear(): EngineBatch {
    this.held.clear();
    return this.#publish([{ kind: 'cleared' }]);
  }

  restart(): void {
    this.held.clear();
    this.ring.length = 0;
    this.seq = -1;
  }

  snapshot() {
    const ids = [...this.held].map(Number).sort((a, b) => a - b);
    const engineEvents = ids.map((id) => ({
      kind: 'stored' as const,
      blockHashes: BigUint64Array.of(BigInt(id)),
      parentHash: parentOf(id) === 0 ? undefined : BigInt(parentOf(id)),
      tokenIds: Uint32Array.of(id, id),
      blockSize: BLOCK_SIZE,
    }));
    return { lastSeq: this.seq, engineEvents };
  }

  #publish(events: EngineBatch['batch']['events']): EngineBatch {
    this.#nowS += 1;
    const batch = { seq: ++this.seq, batch: { timestampS: this.#nowS, dpRank: undefined, events } };
    this.ring.push(batch);
    if (this.ring.length > this.#ringSize) this.ring.shift();
    return batch;
  }
}

/** Blocks are numbered as in a binary heap: 1 is the root's block, 2 and 3 follow it. */
const parentOf = (id: number): number => id >> 1;
function ancestry(id: number): number[] {
  return id === 0 ? [] : [...ancestry(parentOf(id)), id];
}

export type Ability = 'replay' | 'snapshot';

/** What an engine's sockets would answer; each answer takes 10 ms, and may fail. */
function sourceOf(
  publisher: EventPublisher,
  clock: VirtualClock,
  abilities: readonly Ability[],
  fails: (ability: Ability) => boolean = () => false,
): EventSource {
  const answer = async (ability: Ability, signal: AbortSignal): Promise<void> => {
    await sleepUntil(clock, clock.nowMs() + 10, signal);
    if (fails(ability)) throw new Error('connection refused');
  };
  return {
    ...(abilities.includes('replay') && {
      replay: async (fromSeq: number, deliver: (batch: SequencedBatch) => void, signal: AbortSignal) => {
        await answer('replay', signal);
        for (const batch of publisher.ring) if (batch.seq >= fromSeq) deliver(batch);
        return true;
      },
    }),
    ...(abilities.includes('snapshot') && {
      snapshot: async (signal: AbortSignal) => {
        await answer('snapshot', signal);
        return publisher.snapshot();
      },
    }),
  };
}

/** An intake that follows the publisher, its index, and a clock that moves only when told. */
export function follow(
  publisher: EventPublisher,
  abilities: readonly Ability[],
  fails?: (ability: Ability) => boolean,
  quietMs?: number,
) {
  const clock = new VirtualClock();
  const fleet = new Fleet();
  fleet.put({ workerId: '1' });
  const index = new NaiveIndex();
  const changes: string[] = [];
  const intake = new Intake({
    clock,
    fleet,
    index,
    hasher: new BlockHasher(),
    blockSize: BLOCK_SIZE,
    observer: { intakeChanged: (_worker, state) => changes.push(state) },
    quietMs,
  });
  const stream = intake.open(KEY, sourceOf(publisher, clock, abilities, fails));
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) await undefined;
  };
  return {
    clock,
    intake,
    stream,
    changes,
    state: () => intake.of(fleet.rankOf(KEY)!),
    /** Lets so much time pass, with everything that waits for it. */
    pass: async (ms: number): Promise<void> => {
      await settle();
      for (let left = ms; left > 0; left -= 10) {
        clock.advanceTo(clock.nowMs() + Math.min(10, left));
        await settle();
      }
    },
    held: (): bigint[] => {
      const ids = new Set<bigint>();
      for (const { event } of index.dump(0)) {
        if (event.kind === 'stored') for (const id of event.blockHashes) ids.add(id);
        if (event.kind === 'removed') for (const id of event.blockHashes) ids.delete(id);
      }
      return sorted(ids);
    },
  };
}

export const sorted = (ids: Iterable<bigint>): bigint[] => [...ids].sort((a, b) => Number(a - b));
