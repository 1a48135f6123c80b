import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockHasher } from '../kv/hash.ts';
import { drawnTokens, idRange } from './answer-tokens.ts';
import { type EngineSettings, engineSettings } from './engine-settings.ts';
import { EngineWorker } from './engine-worker.ts';
import type { Pass, RankEvent } from './pass.ts';
import { TokenPrompt } from './prompt.ts';
import type { Scheduler } from './scheduler.ts';
import { fixedTiming, POLYNOMIAL_TIMING } from './timing.ts';

const hasher = new BlockHasher();

const request = fc.record({
  /** Prompts of one family share a prefix of some length. */
  family: fc.nat(3),
  shared: fc.nat(40),
  own: fc.nat(30),
  output: fc.nat(30),
  atNs: fc.nat(300).map((ms) => ms * 1_000_000),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

const settings = fc
  .record({
    backend: fc.constantFrom('vllm', 'trtllm', 'sglang'),
    numGpuBlocks: fc.integer({ min: 4, max: 60 }),
    blockSize: fc.integer({ min: 2, max: 6 }),
    maxNumSeqs: fc.integer({ min: 1, max: 8 }),
    maxNumBatchedTokens: fc.integer({ min: 4, max: 64 }),
    enablePrefixCaching: fc.boolean(),
    enableChunkedPrefill: fc.boolean(),
    preemptionMode: fc.constantFrom('lifo', 'fifo'),
    draftTokens: fc.integer({ min: 0, max: 3 }),
    chunk: fc.integer({ min: 6, max: 64 }),
    lpm: fc.boolean(),
    hostBlocks: fc.constantFrom(0, 3, 20, 200),
    diskBlocks: fc.constantFrom(0, 10),
    /** Times of loads beside those of passes: nothing, much alike, much longer. */
    loadGBps: fc.constantFrom(0, 1, 0.02),
  })
  .map(
    ({ draftTokens, chunk, lpm, hostBlocks, diskBlocks, loadGBps, ...rest }): EngineSettings =>
      engineSettings({
        ...rest,
        backend: rest.backend as EngineSettings['backend'],
        preemptionMode: rest.preemptionMode as 'lifo' | 'fifo',
        enableChunkedPrefill: rest.enableChunkedPrefill || rest.backend === 'sglang',
        timing: POLYNOMIAL_TIMING,
        emitKvEvents: true,
        emitKvTokenIds: true,
        sglang: { chunkedPrefillSize: chunk, schedulePolicy: lpm ? 'lpm' : 'fifo' },
        transfer: { kvBytesPerToken: 1_000_000 },
        offload: {
          hostBlocks: rest.enablePrefixCaching ? hostBlocks : 0,
          diskBlocks: rest.enablePrefixCaching && hostBlocks > 0 ? diskBlocks : 0,
          deviceToHostGBps: loadGBps,
          hostToDeviceGBps: loadGBps,
        },
        speculative:
          draftTokens === 0 || rest.backend !== 'vllm'
            ? undefined
            : { draftTokens, acceptRates: Array<number>(draftTokens).fill(0.6), seed: 1 },
      }),
  );

function newRank(of: EngineSettings): Scheduler {
  const answer = drawnTokens(7, idRange(5000, 1000));
  return new EngineWorker({ settings: of, hasher, answer, stream: 0, snapshots: true }).ranks[0]!;
}

function promptOf({ family, shared, own }: Request, index: number): Uint32Array {
  return Uint32Array.from({ length: 1 + shared + own }, (_, i) =>
    i <= shared ? 100 * family + i : 1000 * index + i,
  );
}

interface Received {
  tokens: number[];
  times: number[];
  status: 'completed' | 'rejected' | undefined;
}

/** Feeds requests by time and looks at every pass; with `runAhead` plain decode passes are computed as runs. */
function drive(
  rank: Scheduler,
  requests: readonly Request[],
  check: (pass: Pass) => void,
  runAhead = false,
): Map<string, Received> {
  const pending = requests
    .map((each, index) => ({ ...each, index }))
    .sort((a, b) => a.atNs - b.atNs || a.index - b.index);
  const received = new Map<string, Received>();
  let nowNs = 0;
  for (let passes = 0; ; passes++) {
    expect(passes).toBeLessThan(3000);
    while (pending[0] !== undefined && pending[0].atNs <= nowNs) {
      const next = pending.shift()!;
      received.set(String(next.index), { tokens: [], times: [], status: undefined });
      const prompt = new TokenPrompt(promptOf(next, next.index));
      rank.submit({ id: String(next.index), prompt, maxOutputTokens: next.output });
    }
    if (!rank.hasWork) {
      if (pending[0] === undefined) return received;
      nowNs = pending[0].atNs;
      continue;
    }
    const run = runAhead ? rank.decodeRun(nowNs, pending[0]?.atNs ?? Number.POSITIVE_INFINITY) : undefined;
    if (run !== undefined) {
      const count = run.times.length - 1;
      for (const sequence of run.sequences) {
        const { tokens, times } = received.get(sequence.id)!;
        tokens.push(...sequence.answerTokens(sequence.generated - count, count));
        times.push(...run.times.slice(1));
      }
      nowNs = run.times.at(-1)!;
      continue;
    }
    const pass = rank.pass(nowNs);
    check(pass);
    for (const { sequence, first, count, completed, rejected } of pass.outputs) {
      const entry = received.get(sequence.id)!;
      expect(entry.status).toBeUndefined();
      entry.tokens.push(...sequence.answerTokens(first, count));
      for (let i = 0; i < count; i++) entry.times.push(pass.endNs);
      if (completed) entry.status = rejected ? 'rejected' : 'completed';
    }
    nowNs = pass.endNs;
  }
}

/** Blocks by tier. */
type Visible = Map<string, Set<bigint>>;

/** Applies events to the visible blocks; a store must bring what was not there, a remove what was. */
function apply(events: readonly RankEvent[], visible: Visible, nextId: number): number {
  for (const { id, event } of events) {
    expect(id).toBe(nextId++);
    if (event.kind === 'cleared') continue;
    const { tier = 'device' } = event;
    const blocks = visible.get(tier) ?? new Set();
    visible.set(tier, blocks);
    if (event.kind === 'stored') {
      const { parentHash, blockHashes } = event;
      if (tier === 'device' && parentHash !== undefined) expect(blocks.has(parentHash)).toBe(true);
      for (const hash of blockHashes) {
        expect(blocks.has(hash)).toBe(false);
        blocks.add(hash);
      }
    } else for (const hash of event.blockHashes) expect(blocks.delete(hash)).toBe(true);
  }
  return nextId;
}

describe('any scheduler, with any load', () => {
  test('stays within its limits, and its events add up to its cache', () => {
    fc.assert(
      fc.property(settings, fc.array(request, { maxLength: 25 }), (of, requests) => {
        const rank = newRank(of);
        const visible: Visible = new Map();
        let nextId = 0;
        const received = drive(rank, requests, (pass) => {
          const metrics = rank.metrics();
          const figures = rank.forwardPass();
          expect(metrics.usedBlocks + metrics.cachedBlocks + metrics.freeBlocks).toBe(of.numGpuBlocks);
          expect(metrics.usedBlocks).toBeGreaterThanOrEqual(0);
          expect(metrics.freeBlocks).toBeGreaterThanOrEqual(0);
          expect(metrics.runningRequests).toBeLessThanOrEqual(of.maxNumSeqs);
          if (of.backend === 'sglang')
            expect(figures.sumPrefillTokens).toBeLessThanOrEqual(of.sglang.chunkedPrefillSize);
          else
            expect(figures.sumPrefillTokens + figures.numDecodeRequests).toBeLessThanOrEqual(
              of.maxNumBatchedTokens,
            );
          nextId = apply(pass.events, visible, nextId);
          const size = (tier: string) => visible.get(tier)?.size ?? 0;
          expect(size('device')).toBeLessThanOrEqual(metrics.usedBlocks + metrics.cachedBlocks);
          expect(size('host_pinned')).toBe(metrics.hostBlocks);
          expect(size('host_pinned')).toBeLessThanOrEqual(of.offload.hostBlocks);
          expect(size('disk')).toBeLessThanOrEqual(of.offload.diskBlocks);
          const snapshot = rank.snapshot();
          const held: Visible = new Map();
          apply(
            snapshot.events.map((event, id) => ({ ...event, id })),
            held,
            0,
          );
          for (const tier of ['device', 'host_pinned', 'disk'])
            expect(held.get(tier) ?? new Set()).toEqual(visible.get(tier) ?? new Set());
          expect(snapshot.lastEventId).toBe(nextId - 1);
        });
        expect(rank.metrics().usedBlocks).toBe(0);
        for (const [index, { output }] of requests.entries()) {
          const { tokens, status } = received.get(String(index))!;
          expect(status).toBeDefined();
          expect(tokens.length).toBeLessThanOrEqual(output);
          if (status === 'rejected') expect(tokens).toEqual([]);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('gives the same answers at the same times when plain decode passes are computed as runs', () => {
    fc.assert(
      fc.property(settings, fc.array(request, { maxLength: 12 }), (of, requests) => {
        const roomy = engineSettings({ ...of, blockSize: 16, timing: fixedTiming(10, 2) });
        const whole = drive(newRank(roomy), requests, () => {});
        const runs = drive(newRank(roomy), requests, () => {}, true);
        expect(runs).toEqual(whole);
      }),
      { numRuns: 100 },
    );
  });
});
