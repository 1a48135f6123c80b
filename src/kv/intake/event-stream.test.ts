import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Ability,
  BLOCK_SIZE,
  EventPublisher,
  follow,
  KEY,
  sorted,
} from '../../../test/support/event-publisher.ts';
import { VirtualClock } from '../../base/clock.ts';
import { Fleet } from '../fleet.ts';
import { BlockHasher } from '../hash.ts';
import { NaiveIndex } from '../index/naive-index.ts';
import type { EngineBatch } from './event-source.ts';
import { Intake } from './intake.ts';

describe('a stream heard from its first event on', () => {
  test('is exact without any way to look back', () => {
    const publisher = new EventPublisher();
    const { stream, state, held } = follow(publisher, []);
    expect(state()).toMatchObject({ state: 'recovering', reason: 'no event yet', eventAgeMs: undefined });
    for (const path of [5, 3, 2, 5]) stream.deliver(publisher.toggle(path));
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 3, missedBatches: 0, eventAgeMs: 0 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('is degraded from the first gap on, and exact again after a clear', () => {
    const publisher = new EventPublisher();
    const { stream, state, held, changes } = follow(publisher, []);
    stream.deliver(publisher.toggle(1));
    publisher.toggle(2);
    publisher.toggle(3);
    stream.deliver(publisher.toggle(6));
    expect(state()).toMatchObject({ state: 'degraded', reason: 'events were lost', missedBatches: 2 });
    stream.deliver(publisher.clear());
    stream.deliver(publisher.toggle(4));
    expect(state()).toMatchObject({ state: 'exact', missedBatches: 2 });
    expect(held()).toEqual([1n, 2n, 4n]);
    expect(changes).toEqual(['exact', 'degraded', 'exact']);
  });

  test('ignores repeats, and takes numbers that go back with later times for a restart', () => {
    const publisher = new EventPublisher();
    const { stream, state, held } = follow(publisher, []);
    const first = publisher.toggle(1);
    stream.deliver(first);
    stream.deliver(publisher.toggle(2));
    stream.deliver(first);
    expect(held()).toEqual([1n, 2n]);
    publisher.restart();
    stream.deliver(publisher.toggle(3));
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 0 });
    expect(held()).toEqual([1n, 3n]);
  });
});

describe('a stream joined late', () => {
  test('cannot be exact without any way to look back', () => {
    const publisher = new EventPublisher();
    publisher.toggle(1);
    const { stream, state } = follow(publisher, []);
    stream.deliver(publisher.toggle(2));
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'what came before the first event seen is unknown',
      missedBatches: 1,
    });
  });

  test.each<Ability>(['replay', 'snapshot'])('is exact by a %s', async (ability) => {
    const publisher = new EventPublisher();
    for (const path of [5, 3, 2, 5]) publisher.toggle(path);
    const { stream, state, held, pass } = follow(publisher, [ability]);
    expect(state()).toMatchObject({ state: 'recovering', reason: 'fetching what was missed' });
    stream.deliver(publisher.toggle(7));
    await pass(20);
    stream.deliver(publisher.toggle(4));
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 5 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('is exact by either when the other fails', async () => {
    for (const broken of ['replay', 'snapshot']) {
      const publisher = new EventPublisher();
      publisher.toggle(5);
      const { stream, state, pass } = follow(publisher, ['replay', 'snapshot'], (way) => way === broken);
      await pass(30);
      expect(state()).toMatchObject({ state: 'exact', lastSeq: 0 });
      publisher.toggle(7);
      stream.deliver(publisher.toggle(6));
      await pass(30);
      expect(state()).toMatchObject({ state: 'exact', lastSeq: 2, missedBatches: 0 });
    }
  });

  test('is degraded when the engine no longer keeps the beginning', async () => {
    const publisher = new EventPublisher(2);
    for (const path of [1, 2, 3, 4, 5]) publisher.toggle(path);
    const { state, pass, held } = follow(publisher, ['replay']);
    await pass(20);
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'what came before the first event seen is unknown',
      missedBatches: 3,
    });
    expect(held()).toEqual([]);
  });

  test('is exact when an engine that has published nothing says so', async () => {
    const { state, pass } = follow(new EventPublisher(), ['replay']);
    await pass(20);
    expect(state().state).toBe('exact');
  });
});

describe('a gap', () => {
  test('is closed by a replay', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    await pass(20);
    stream.deliver(publisher.toggle(1));
    publisher.toggle(2);
    stream.deliver(publisher.toggle(3));
    expect(state().state).toBe('recovering');
    stream.deliver(publisher.toggle(6));
    await pass(20);
    expect(state()).toMatchObject({ state: 'exact', missedBatches: 0, lastSeq: 3 });
    expect(held()).toEqual([1n, 2n, 3n, 6n]);
  });

  test('that the replay does not reach is closed by a snapshot', async () => {
    const publisher = new EventPublisher(2);
    const { stream, state, held, pass } = follow(publisher, ['replay', 'snapshot']);
    await pass(20);
    stream.deliver(publisher.toggle(1));
    for (const path of [2, 3, 4, 5]) publisher.toggle(path);
    stream.deliver(publisher.toggle(2));
    await pass(20);
    expect(state()).toMatchObject({ state: 'exact', missedBatches: 0 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('that nothing closes is counted once, and the stream goes on', async () => {
    const publisher = new EventPublisher(1);
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    await pass(20);
    stream.deliver(publisher.toggle(1));
    publisher.toggle(2);
    stream.deliver(publisher.toggle(3));
    await pass(20);
    expect(state()).toMatchObject({ state: 'degraded', missedBatches: 1, lastSeq: 2 });
    stream.deliver(publisher.toggle(7));
    expect(held()).toEqual([1n, 3n, 7n]);
  });

  test('is tried again with growing pauses while the source fails, eight times', async () => {
    let failures = 3;
    const publisher = new EventPublisher();
    const { stream, state, pass } = follow(publisher, ['replay'], () => failures-- > 0);
    publisher.toggle(1);
    stream.deliver(publisher.toggle(2));
    // 3 x 10 ms of failing, 200 + 400 + 800 ms of pauses.
    await pass(1420);
    expect(state().state).toBe('recovering');
    await pass(40);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 1 });
  });

  test('leaves the stream degraded when the source fails for good, until a repair works', async () => {
    let broken = true;
    const publisher = new EventPublisher();
    const { stream, state, held, pass, clock } = follow(publisher, ['replay'], () => broken);
    publisher.toggle(1);
    stream.deliver(publisher.toggle(2));
    await pass(200 * 255 + 100);
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'events could not be fetched: connection refused',
      missedBatches: 1,
    });
    stream.deliver(publisher.toggle(3));
    expect(held()).toEqual([]);
    broken = false;
    await pass(30_100);
    expect(state().state).toBe('exact');
    expect(held()).toEqual([1n, 2n, 3n]);
    clock.runUntilIdle();
  });

  test('needs no closing when a clear comes', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay'], () => true);
    publisher.toggle(1);
    stream.deliver(publisher.toggle(2));
    publisher.toggle(3);
    stream.deliver(publisher.clear());
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 3 });
    stream.deliver(publisher.toggle(5));
    await pass(60_000);
    expect(state().state).toBe('exact');
    expect(held()).toEqual([1n, 2n, 5n]);
  });

  test('keeps no more than 1024 live batches while it is fetched', async () => {
    let broken = true;
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay'], () => broken);
    for (let i = 0; i < 2000; i++) stream.deliver(publisher.toggle(1 + (i % 7)));
    broken = false;
    await pass(60_000);
    expect(state().state).toBe('exact');
    expect(held()).toEqual(sorted(publisher.held));
  });
});

describe('a publisher that is reached again', () => {
  test('is asked for what it published meanwhile', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    await pass(20);
    stream.deliver(publisher.toggle(1));
    publisher.toggle(2);
    stream.reconnected();
    await pass(20);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 1 });
    expect(held()).toEqual([1n, 2n]);
  });

  test('counts anew when it has restarted', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    await pass(20);
    for (const path of [1, 2, 3]) stream.deliver(publisher.toggle(path));
    publisher.restart();
    publisher.toggle(5);
    stream.reconnected();
    await pass(20);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 0 });
    expect(held()).toEqual(sorted(publisher.held));
  });
});

describe('a source that never answers', () => {
  test('is given up after 30 s', async () => {
    const publisher = new EventPublisher();
    const clock = new VirtualClock();
    const fleet = new Fleet();
    fleet.put({ workerId: '1' });
    const intake = new Intake({
      clock,
      fleet,
      index: new NaiveIndex(),
      hasher: new BlockHasher(),
      blockSize: BLOCK_SIZE,
      observer: {},
    });
    let asked = 0;
    const stream = intake.open(KEY, {
      replay: () => {
        asked++;
        return new Promise<boolean>(() => {});
      },
    });
    stream.deliver(publisher.toggle(1));
    clock.advanceTo(29_999);
    for (let i = 0; i < 30; i++) await undefined;
    expect(asked).toBe(1);
    clock.advanceTo(30_300);
    for (let i = 0; i < 30; i++) await undefined;
    clock.advanceTo(30_600);
    for (let i = 0; i < 30; i++) await undefined;
    expect(asked).toBe(2);
    stream.close();
    clock.runUntilIdle();
    expect(asked).toBe(2);
  });
});

describe('a restart', () => {
  test('during a recovery starts it anew', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    for (const path of [1, 2, 3]) publisher.toggle(path);
    stream.deliver(publisher.toggle(6));
    publisher.restart();
    stream.deliver(publisher.toggle(4));
    await pass(50);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 0 });
    expect(held()).toEqual(sorted(publisher.held));
  });

  test('that hides behind a gap is seen by the time of the batch before it', async () => {
    const publisher = new EventPublisher();
    const { stream, state, held, pass } = follow(publisher, ['replay']);
    await pass(20);
    for (const path of [1, 2]) stream.deliver(publisher.toggle(path));
    publisher.restart();
    for (const path of [3, 7, 6]) publisher.toggle(path);
    stream.deliver(publisher.toggle(5));
    await pass(500);
    expect(state()).toMatchObject({ state: 'exact', lastSeq: 3 });
    expect(held()).toEqual(sorted(publisher.held));
  });
});

describe('whatever is lost, restarted or fails', () => {
  const step = fc.record({
    kind: fc.constantFrom('toggle', 'toggle', 'toggle', 'toggle', 'clear', 'restart', 'wait'),
    path: fc.integer({ min: 1, max: 31 }),
    lost: fc.boolean(),
    ms: fc.constantFrom(10, 200, 3000),
  });

  test.each<[string, readonly Ability[]]>([
    ['a replay', ['replay']],
    ['a snapshot', ['snapshot']],
    ['both', ['replay', 'snapshot']],
    ['neither', []],
  ])('a stream with %s that calls itself exact is', async (_name, abilities) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
        async (steps, ringSize, failing) => {
          const publisher = new EventPublisher(ringSize);
          let calls = 0;
          const { stream, state, held, pass } = follow(publisher, abilities, () => failing[calls++ % 10]!);
          for (const { kind, path, lost, ms } of steps) {
            if (kind === 'wait') await pass(ms);
            else if (kind === 'restart') {
              publisher.restart();
              // The first batch of a new life is heard: otherwise nobody could tell before the numbers meet.
              stream.deliver(publisher.toggle(path));
            } else {
              const batch = kind === 'clear' ? publisher.clear() : publisher.toggle(path);
              if (!lost) stream.deliver(batch);
            }
          }
          // A loss shows when the next batch comes.
          stream.deliver(publisher.toggle(1));
          await pass(100);
          if (state().state === 'exact') expect(held()).toEqual(sorted(publisher.held));
          stream.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the intake', () => {
  test('calls ranks without a stream approximate', () => {
    const { intake, stream, state } = follow(new EventPublisher(), []);
    stream.close();
    expect(state()).toMatchObject({ state: 'approximate', reason: 'the rank publishes no events' });
    expect(intake.states()).toHaveLength(1);
  });

  test('forgets what a rank holds when its stream ends', () => {
    const publisher = new EventPublisher();
    const { stream, held } = follow(publisher, []);
    stream.deliver(publisher.toggle(3));
    expect(held()).toEqual([1n, 3n]);
    stream.close();
    expect(held()).toEqual([]);
    stream.deliver(publisher.toggle(6));
    expect(held()).toEqual([]);
  });

  test('is degraded by events of another block size, however complete', () => {
    const publisher = new EventPublisher();
    const { stream, state } = follow(publisher, []);
    const { batch } = publisher.toggle(1);
    const events = batch.events.map((event) => ({ ...event, blockSize: 3, tokenIds: new Uint32Array(3) }));
    stream.deliver({ seq: 0, batch: { ...batch, events } as EngineBatch['batch'] });
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'its blocks are not of 2 tokens',
      rejectedEvents: 1,
    });
  });

  test('is degraded by a block whose parent never came, until a clear', () => {
    const publisher = new EventPublisher();
    const { stream, state } = follow(publisher, []);
    stream.deliver(publisher.toggle(1));
    const { batch } = publisher.toggle(2);
    const events = batch.events.map((event) => ({ ...event, parentHash: 99n }));
    stream.deliver({ seq: 1, batch: { ...batch, events } as EngineBatch['batch'] });
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'a block was stored whose parent is not known',
    });
    stream.deliver(publisher.clear());
    expect(state().state).toBe('exact');
  });
});
