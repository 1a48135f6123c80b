import { describe, expect, test } from 'vitest';
import { RealClock, VirtualClock } from '../base/clock.ts';
import { type EngineOptions, engineSettings } from './engine-settings.ts';
import { TokenPrompt } from './prompt.ts';
import {
  type EngineListener,
  type Finish,
  REJECTION,
  type RequestSink,
  SimulatedEngine,
} from './simulated-engine.ts';
import { fixedTiming } from './timing.ts';

const range = (from: number, count: number): Uint32Array =>
  Uint32Array.from({ length: count }, (_, i) => from + i);

function engineOn(
  clock: VirtualClock | RealClock,
  options: Partial<EngineOptions> = {},
  listener?: EngineListener,
) {
  const settings = engineSettings({ blockSize: 4, numGpuBlocks: 32, timing: fixedTiming(10, 2), ...options });
  return new SimulatedEngine({ settings, clock, ...(listener ? { listener } : {}) });
}

class Recorded implements RequestSink {
  readonly tokens_: number[] = [];
  readonly times: number[] = [];
  finish: Finish | undefined;

  tokens({ tokenIds, atMs }: { tokenIds: Uint32Array; atMs: number }): void {
    this.tokens_.push(...tokenIds);
    for (const _ of tokenIds) this.times.push(atMs);
  }

  finished(finish: Finish): void {
    this.finish = finish;
  }
}

function submit(engine: SimulatedEngine, id: string, tokens: Uint32Array, maxOutputTokens: number): Recorded {
  const sink = new Recorded();
  engine.submit({ id, prompt: new TokenPrompt(tokens), maxOutputTokens }, sink);
  return sink;
}

describe('a simulated engine on a virtual clock', () => {
  test('gives the first token after prefill and one decode step, then one per step', () => {
    const clock = new VirtualClock();
    clock.advanceTo(5);
    const engine = engineOn(clock);
    const sink = submit(engine, 'a', range(0, 8), 3);
    clock.runUntilIdle();
    expect(sink.times).toEqual([17, 19, 21]);
    expect(sink.finish).toMatchObject({ reason: 'length', atMs: 21, outputTokens: 3, cachedTokens: 0 });
  });

  test('lets a request that comes during a pass join the next', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    submit(engine, 'a', range(0, 8), 2);
    const late = new Recorded();
    clock.at(3, () =>
      engine.submit({ id: 'b', prompt: new TokenPrompt(range(50, 8)), maxOutputTokens: 1 }, late),
    );
    clock.runUntilIdle();
    expect(late.times).toEqual([24]);
  });

  test('reports what it reused of an earlier prompt', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    submit(engine, 'a', range(0, 12), 1);
    clock.runUntilIdle();
    const again = submit(engine, 'b', range(0, 12), 1);
    clock.runUntilIdle();
    expect(again.finish?.cachedTokens).toBe(8);
  });

  test('empties its cache when asked, unless it works', () => {
    const clock = new VirtualClock();
    const kinds: string[] = [];
    const engine = engineOn(
      clock,
      { emitKvEvents: true, dpSize: 2 },
      {
        kvEvents: (rank, events) => {
          for (const { event } of events) kinds.push(`${rank} ${event.kind}`);
        },
      },
    );
    submit(engine, 'a', range(0, 12), 1);
    expect(engine.resetPrefixCache()).toBe(false);
    clock.runUntilIdle();
    expect(engine.resetPrefixCache()).toBe(true);
    expect(kinds).toEqual(['0 stored', '0 cleared', '1 cleared']);
    expect(engine.snapshot(0)).toEqual({ events: [], lastEventId: 1 });
    expect(engine.metrics(0)).toMatchObject({ cachedBlocks: 0, freeBlocks: 32 });
    const again = submit(engine, 'b', range(0, 12), 1);
    clock.runUntilIdle();
    expect(again.finish?.cachedTokens).toBe(0);
  });

  test('tells when a request is admitted, and what it reuses, before its first token', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    submit(engine, 'a', range(0, 12), 1);
    clock.runUntilIdle();
    const seen: object[] = [];
    const request = { id: 'b', prompt: new TokenPrompt(range(0, 12)), maxOutputTokens: 1 };
    engine.submit(request, {
      admitted: (admission) => seen.push(admission),
      tokens: ({ atMs }) => seen.push({ atMs }),
      finished: () => {},
    });
    clock.runUntilIdle();
    expect(seen).toEqual([{ atMs: 12, cachedTokens: 8, loadedTokens: 0 }, { atMs: 24 }]);
  });

  test('finds in the next turn the blocks of the answer that it streamed', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    const first = submit(engine, 'a', range(0, 8), 9);
    clock.runUntilIdle();
    const second = submit(engine, 'b', Uint32Array.from([...range(0, 8), ...first.tokens_, 7, 7]), 1);
    clock.runUntilIdle();
    expect(second.finish?.cachedTokens).toBe(16);
  });

  test('rejects what can never fit, with the text of the reference', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock, { numGpuBlocks: 2 });
    const sink = submit(engine, 'a', range(0, 9), 1);
    clock.runUntilIdle();
    expect(sink.finish).toMatchObject({ reason: 'rejected', message: REJECTION, outputTokens: 0 });
  });

  test('says nothing more of a cancelled request and frees its blocks', () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    const sink = submit(engine, 'a', range(0, 8), 5);
    clock.at(13, () => expect(engine.cancel('a')).toBe(true));
    clock.runUntilIdle();
    expect(sink.times).toEqual([12]);
    expect(sink.finish).toBeUndefined();
    expect(engine.metrics().usedBlocks).toBe(0);
    expect(engine.inFlight).toBe(0);
    expect(engine.cancel('a')).toBe(false);
  });

  test('numbers events from 0 without gaps and snapshots what they add up to, parents first', () => {
    const clock = new VirtualClock();
    const ids: number[] = [];
    const held = new Map<bigint, bigint | undefined>();
    const kvEvents: EngineListener['kvEvents'] = (_rank, events) => {
      for (const { id, event } of events) {
        ids.push(id);
        if (event.kind === 'removed') for (const hash of event.blockHashes) held.delete(hash);
        if (event.kind === 'stored')
          event.blockHashes.forEach(
            (hash, i) => void held.set(hash, event.blockHashes[i - 1] ?? event.parentHash),
          );
      }
    };
    const options = { emitKvEvents: true, emitKvTokenIds: true, numGpuBlocks: 8 } as const;
    const engine = engineOn(clock, options, { kvEvents });
    for (let i = 0; i < 12; i++) submit(engine, `r${i}`, range(i % 5, 6 + 2 * (i % 4)), 5);
    clock.runUntilIdle();
    const { events, lastEventId } = engine.snapshot();
    expect(ids).toEqual(Array.from({ length: lastEventId + 1 }, (_, i) => i));
    const seen = new Map<bigint, bigint | undefined>();
    for (const { event, tokenIds } of events) {
      if (event.kind !== 'stored') throw new Error('a snapshot stores');
      expect(event.parentHash === undefined || seen.has(event.parentHash)).toBe(true);
      expect(tokenIds?.length).toBe(4 * event.blockHashes.length);
      event.blockHashes.forEach(
        (hash, i) => void seen.set(hash, event.blockHashes[i - 1] ?? event.parentHash),
      );
    }
    expect(new Map([...seen].sort())).toEqual(new Map([...held].sort()));
    expect(seen.size).toBe(engine.metrics().cachedBlocks);
  });

  test('keeps requests that come before it is ready until it is', () => {
    const clock = new VirtualClock();
    const settings = engineSettings({ blockSize: 4, numGpuBlocks: 32, timing: fixedTiming(10, 2) });
    const engine = new SimulatedEngine({ settings, clock, startupMs: 100 });
    const sink = submit(engine, 'a', range(0, 8), 1);
    expect(engine.ready).toBe(false);
    clock.runUntilIdle();
    expect(sink.times).toEqual([112]);
    expect(engine.ready).toBe(true);
  });

  test('finishes what runs when stopped with grace, and takes nothing new', async () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    const running = submit(engine, 'a', range(0, 8), 3);
    const stopped = engine.stop(1000);
    const refused = submit(engine, 'b', range(0, 8), 3);
    clock.advanceTo(16);
    await stopped;
    expect(running.finish?.reason).toBe('length');
    expect(refused.finish?.reason).toBe('aborted');
  });

  test('aborts what runs when the grace is over', async () => {
    const clock = new VirtualClock();
    const engine = engineOn(clock);
    const sink = submit(engine, 'a', range(0, 8), 1000);
    const stopped = engine.stop(21);
    clock.runUntilIdle(100);
    await stopped;
    expect(sink.finish).toMatchObject({ reason: 'aborted', outputTokens: 5 });
  });
});

describe('a simulated engine in real time', () => {
  test('keeps the order and the times of virtual time at high speed-up', async () => {
    const work = Array.from({ length: 40 }, (_, i) => ({
      id: `r${i}`,
      tokens: range(i % 7, 5 + ((i * 13) % 40)),
      output: 1 + ((i * 7) % 11),
    }));
    const run = async (clock: VirtualClock | RealClock) => {
      const order: string[] = [];
      const settings = engineSettings({
        ...{ blockSize: 4, numGpuBlocks: 32, timing: fixedTiming(10, 2) },
        ...{ speedupRatio: 1000, maxNumSeqs: 8 },
      });
      // All arrive at the instant when the engine is ready, so that both clocks give the same arrivals.
      const engine = new SimulatedEngine({ settings, clock, startupMs: 300 });
      const sinks = work.map(({ id, tokens, output }) => {
        const sink = new Recorded();
        const wrapped: RequestSink = {
          tokens: (batch) => {
            order.push(id);
            sink.tokens(batch);
          },
          finished: (finish) => sink.finished(finish),
        };
        engine.submit({ id, prompt: new TokenPrompt(tokens), maxOutputTokens: output }, wrapped);
        return sink;
      });
      if (clock instanceof VirtualClock) clock.runUntilIdle();
      else await engine.stop(10_000);
      const firstMs = Math.min(...sinks.map(({ times }) => times[0] ?? 0));
      const sinceStart = (time: number): number => Math.round((time - firstMs) * 1e5) / 1e5;
      return { order, times: sinks.map(({ times }) => times.map(sinceStart)) };
    };
    const virtual = await run(new VirtualClock());
    const real = await run(new RealClock());
    expect(real.order).toEqual(virtual.order);
    expect(real.times).toEqual(virtual.times);
  });
});
