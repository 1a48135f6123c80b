import { describe, expect, test } from 'vitest';
import { BlockHasher } from '../kv/hash.ts';
import { drawnTokens, idRange } from './answer-tokens.ts';
import { type EngineOptions, engineSettings, type OffloadSettings } from './engine-settings.ts';
import { EngineWorker } from './engine-worker.ts';
import { TokenPrompt } from './prompt.ts';
import type { Scheduler } from './scheduler.ts';
import { fixedTiming } from './timing.ts';

/** Blocks of 4 tokens and 4 MB, links of 1 GB/s: a block takes 4 ms. Prefill takes 10 ms, a decode step 2. */
function rankOf(offload: Partial<OffloadSettings>, options: Partial<EngineOptions> = {}): Scheduler {
  const speeds = { deviceToHostGBps: 1, hostToDeviceGBps: 1, hostToDiskGBps: 1, diskToHostGBps: 1 };
  const settings = engineSettings({
    blockSize: 4,
    numGpuBlocks: 4,
    timing: fixedTiming(10, 2),
    emitKvEvents: true,
    emitKvTokenIds: true,
    transfer: { kvBytesPerToken: 1e6 },
    offload: { hostBlocks: 8, ...speeds, ...offload },
    ...options,
  });
  const parts = { settings, hasher: new BlockHasher(), answer: drawnTokens(0, idRange(0, 1)), stream: 0 };
  return new EngineWorker({ ...parts, snapshots: true }).ranks[0]!;
}

/** A prompt of whole blocks and one token, so that all its blocks may be reused. */
const prompt = (first: number, blocks = 3): TokenPrompt =>
  new TokenPrompt(Uint32Array.from({ length: 4 * blocks + 1 }, (_, i) => first + i));

interface Seen {
  readonly log: string[];
  readonly endMs: number;
}

/** Runs a rank until it has nothing to do, from a time on; requests begin together. */
function run(
  rank: Scheduler,
  startMs: number,
  ...requests: readonly (readonly [string, TokenPrompt])[]
): Seen {
  for (const [id, each] of requests) rank.submit({ id, prompt: each, maxOutputTokens: 1 });
  const log: string[] = [];
  let nowNs = startMs * 1e6;
  while (rank.hasWork) {
    const pass = rank.pass(nowNs);
    for (const { sequence, reusedTokens, loadedTokens } of pass.admissions)
      log.push(`${sequence.id} runs at ${nowNs / 1e6} with ${reusedTokens}, ${loadedTokens} loaded`);
    for (const { from, to, sizeBytes, durationNs } of pass.transfers)
      log.push(`${from} to ${to}: ${sizeBytes / 4e6} blocks in ${durationNs / 1e6} ms`);
    for (const { event } of pass.events)
      if (event.kind !== 'cleared')
        log.push(`${event.kind} ${event.blockHashes.length} ${event.tier ?? 'device'}`);
    nowNs = pass.endNs;
  }
  return { log, endMs: nowNs / 1e6 };
}

describe('a rank with memory below its device', () => {
  test('puts down what it evicts, and loads it instead of computing it', () => {
    const rank = rankOf({});
    run(rank, 0, ['a', prompt(100)]);
    expect(run(rank, 100, ['b', prompt(200)]).log).toEqual([
      'b runs at 100 with 0, 0 loaded',
      'device to host_pinned: 3 blocks in 12 ms',
      'stored 3 host_pinned',
      'removed 3 device',
      'stored 3 device',
    ]);
    expect(rank.metrics()).toMatchObject({ hostBlocks: 3, totalHostBlocks: 8, freeBlocks: 1 });
    // The load takes 12 ms, what is left of the prompt 10 and the first token 2.
    expect(run(rank, 200, ['again', prompt(100)])).toEqual({
      log: [
        'device to host_pinned: 3 blocks in 12 ms',
        'stored 3 host_pinned',
        'removed 3 device',
        'again runs at 212 with 12, 12 loaded',
        'host_pinned to device: 3 blocks in 12 ms',
        'stored 3 device',
      ],
      endMs: 224,
    });
    // A copy stayed below: nothing has to be put down again.
    expect(run(rank, 300, ['c', prompt(300)]).log).toContain('removed 3 device');
    expect(rank.metrics()).toMatchObject({ hostBlocks: 6, hitTokensTotal: 12, loadedTokensTotal: 12 });
  });

  test('computes for others while it loads', () => {
    const rank = rankOf({}, { numGpuBlocks: 8 });
    run(rank, 0, ['a', prompt(100, 5)]);
    run(rank, 100, ['b', prompt(200, 5)]);
    const { log } = run(rank, 200, ['again', prompt(100, 5)], ['new', prompt(300, 1)]);
    expect(log.filter((line) => line.includes('runs at'))).toEqual([
      'new runs at 200 with 0, 0 loaded',
      // Two of the blocks were still on the device; the others are there when the other request's pass ends.
      'again runs at 212 with 20, 12 loaded',
    ]);
  });

  test('loads once what two requests need at the same time', () => {
    const rank = rankOf({}, { numGpuBlocks: 6 });
    run(rank, 0, ['a', prompt(100)]);
    run(rank, 100, ['b', prompt(200, 5)]);
    const { log } = run(rank, 200, ['first', prompt(100)], ['second', prompt(100)]);
    expect(log.filter((line) => /runs at|to device/.test(line))).toEqual([
      'first runs at 212 with 12, 12 loaded',
      'second runs at 212 with 12, 0 loaded',
      'host_pinned to device: 3 blocks in 12 ms',
    ]);
  });

  test('passes on to its disk what the host has no room for, and gets it back through the host', () => {
    const rank = rankOf({ hostBlocks: 3, diskBlocks: 8 });
    run(rank, 0, ['a', prompt(100)]);
    run(rank, 100, ['b', prompt(200)]);
    const { log } = run(rank, 200, ['c', prompt(300)]);
    expect(log).toEqual([
      'c runs at 200 with 0, 0 loaded',
      'host_pinned to disk: 3 blocks in 12 ms',
      'device to host_pinned: 3 blocks in 12 ms',
      'stored 3 host_pinned',
      'stored 3 disk',
      'removed 3 host_pinned',
      'removed 3 device',
      'stored 3 device',
    ]);
    expect(run(rank, 300, ['again', prompt(100)]).log).toContain('again runs at 324 with 12, 12 loaded');
  });

  test('loses what its link had no time to copy', () => {
    // Two blocks of a pass may be copied ahead of need, for each block of one.
    const rank = rankOf({ deviceToHostGBps: 0.001 }, { maxNumBatchedTokens: 4 });
    run(rank, 0, ['a', prompt(100)]);
    const { log } = run(rank, 100_000, ['b', prompt(200)]);
    expect(log).toContain('device to host_pinned: 1 blocks in 4000 ms');
    expect(rank.metrics().hostBlocks).toBe(2);
  });

  test('forgets all of it with a reset of its cache', () => {
    const rank = rankOf({ diskBlocks: 8 });
    run(rank, 0, ['a', prompt(100)]);
    run(rank, 100, ['b', prompt(200)]);
    expect(rank.clearCache()?.map(({ event }) => event.kind)).toEqual(['cleared']);
    expect(rank.metrics()).toMatchObject({ hostBlocks: 0, cachedBlocks: 0 });
    expect(rank.snapshot().events).toEqual([]);
    expect(run(rank, 200, ['again', prompt(100)]).log).toContain('again runs at 200 with 0, 0 loaded');
  });

  test('lets go of what it loads for a request that is cancelled', () => {
    const rank = rankOf({});
    run(rank, 0, ['a', prompt(100)]);
    run(rank, 100, ['b', prompt(200)]);
    const sequence = rank.submit({ id: 'gone', prompt: prompt(100), maxOutputTokens: 1 });
    rank.pass(200e6);
    expect(rank.metrics()).toMatchObject({ usedBlocks: 4, waitingRequests: 1 });
    expect(rank.cancel(sequence)).toBe(true);
    expect(rank.hasWork).toBe(false);
    expect(rank.metrics()).toMatchObject({ usedBlocks: 0, waitingRequests: 0 });
    expect(run(rank, 300, ['again', prompt(100)]).log).toContain('again runs at 312 with 12, 12 loaded');
  });

  test('tells in a snapshot what is where, a block behind a lost one too', () => {
    const rank = rankOf({ hostBlocks: 3 });
    run(rank, 0, ['a', prompt(100)]);
    run(rank, 100, ['b', prompt(200, 2)]);
    const tiers = rank.snapshot().events.map(({ event, tokenIds }) => {
      if (event.kind !== 'stored') throw new Error(event.kind);
      return [event.tier ?? 'device', event.parentHash === undefined, event.blockHashes.length, tokenIds![0]];
    });
    expect(tiers).toEqual([
      ['device', true, 1, 100],
      ['host_pinned', false, 2, 104],
      ['device', true, 2, 200],
    ]);
  });

  test('of SGLang loads layer by layer while it computes', () => {
    const options = { backend: 'sglang', numGpuBlocks: 5 } as const;
    for (const [hostToDeviceGBps, endMs] of [
      // 8 ms of loading are hidden behind 10 of computing, 16 hide them.
      [1, 212],
      [0.5, 218],
    ] as const) {
      const rank = rankOf({ hostToDeviceGBps }, options);
      run(rank, 0, ['a', prompt(100)]);
      run(rank, 100, ['b', prompt(200)]);
      const seen = run(rank, 200, ['again', prompt(100)]);
      expect(seen.log).toContain('again runs at 200 with 12, 8 loaded');
      expect(seen.endMs).toBe(endMs);
    }
  });

  test('is none of a decode worker', () => {
    const rank = rankOf({}, { workerType: 'decode' });
    expect(rank.metrics()).toMatchObject({ totalHostBlocks: 0 });
  });

  test.each([
    [{ hostBlocks: 0, diskBlocks: 4 }, {}, /diskBlocks/],
    [{ hostBlocks: -1 }, {}, /hostBlocks/],
    [{ hostToDeviceGBps: Number.NaN }, {}, /hostToDeviceGBps/],
    [{}, { enablePrefixCaching: false }, /hostBlocks/],
  ])('refuses %j with %j', (offload, options, message) => {
    expect(() => rankOf(offload, options)).toThrow(message);
  });
});
