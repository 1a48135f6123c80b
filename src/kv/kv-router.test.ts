import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { type RouterConfig, routerConfig } from './config.ts';
import { explain } from './decision-log.ts';
import { BlockHasher } from './hash.ts';
import type { KvIndex } from './index/kv-index.ts';
import { NaiveIndex } from './index/naive-index.ts';
import { KvRouter, type KvRouterOptions } from './kv-router.ts';
import type { RoutedFacts, RouterObserver } from './observer.ts';
import type { RouteRequest } from './route-request.ts';
import type { Refusal } from './select.ts';
import type { Selection } from './selection.ts';

const BLOCK_SIZE = 4;

interface TestRouter {
  readonly router: KvRouter;
  readonly clock: VirtualClock;
  /** Selects and expects a place. */
  place(request?: Partial<RouteRequest>): Selection;
  refuse(request?: Partial<RouteRequest>): Refusal;
}

function makeRouter(
  workers: number,
  config: RouterConfig = routerConfig(),
  options: Partial<KvRouterOptions> = {},
): TestRouter {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const router = new KvRouter({ blockSize: BLOCK_SIZE, clock, random, config, ...options });
  for (let id = 1; id <= workers; id++) router.addWorker({ workerId: String(id) });
  let number = 0;
  const select = (request: Partial<RouteRequest>) =>
    router.select({ requestId: `r${++number}`, tokens: tokensFrom(0, 16), ...request });
  return {
    router,
    clock,
    place(request = {}) {
      const outcome = select(request);
      if (outcome.kind === 'refused') throw new Error(outcome.reason);
      return outcome;
    },
    refuse(request = {}) {
      const outcome = select(request);
      if (outcome.kind === 'selected') throw new Error(`selected ${outcome.worker.workerId}`);
      return outcome;
    },
  };
}

function tokensFrom(first: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => first + i);
}

/** An index in which the n-th worker holds so many leading blocks of the prompt that tests send by default. */
function indexWith(depths: readonly number[]): KvIndex {
  const index = new NaiveIndex();
  const { local, sequence } = new BlockHasher().hashPrompt(tokensFrom(0, 64), BLOCK_SIZE);
  for (const [rank, depth] of depths.entries())
    index.apply(rank, {
      kind: 'stored',
      parentHash: undefined,
      blockHashes: sequence.slice(0, depth),
      localHashes: local.slice(0, depth),
    });
  return index;
}

describe('the router', () => {
  test('sends a prompt where most of it is cached', () => {
    const { place } = makeRouter(3, routerConfig(), { index: indexWith([0, 3, 1]) });
    const { worker, overlap, predictedCachedTokens, promptBlocks } = place();
    expect(worker).toEqual({ workerId: '2', dpRank: 0 });
    expect(overlap.device).toBe(3);
    expect(predictedCachedTokens).toBe(12);
    expect(promptBlocks).toBe(4);
  });

  test('explains a decision with the cost of every candidate', () => {
    const { place } = makeRouter(3, routerConfig(), { index: indexWith([0, 3, 1]) });
    const { decision } = place({ requestId: 'why' });
    expect(decision.requestId).toBe('why');
    // Four prompt blocks, less what is cached, plus four blocks to hold.
    expect(explain(decision).map(({ worker, cost, chosen }) => [worker.workerId, cost, chosen])).toEqual([
      ['2', 5, true],
      ['3', 7, false],
      ['1', 8, false],
    ]);
  });

  test('books what it places: the next prompt goes elsewhere', () => {
    const { place, router } = makeRouter(2);
    const first = place();
    const second = place({ tokens: tokensFrom(100, 16) });
    expect(second.worker.workerId).not.toBe(first.worker.workerId);
    expect(
      router
        .loads()
        .map(({ activeDecodeBlocks, activePrefillTokens }) => [activeDecodeBlocks, activePrefillTokens]),
    ).toEqual([
      [4, 16],
      [4, 16],
    ]);
    first.booking?.prefillComplete();
    second.booking?.free();
    const [of1, of2] = ['1', '2'].map((id) => router.loads().find(({ worker }) => worker.workerId === id)!);
    const [stillActive, idle] = first.worker.workerId === '1' ? [of1!, of2!] : [of2!, of1!];
    expect([stillActive.activeDecodeBlocks, stillActive.activePrefillTokens]).toEqual([4, 0]);
    expect([idle.activeDecodeBlocks, idle.activePrefillTokens, idle.activeRequests]).toEqual([0, 0, 0]);
  });

  test('books only the tokens to compute', () => {
    const { place, router } = makeRouter(1, routerConfig(), { index: indexWith([3]) });
    place();
    expect(router.loads()[0]!.activePrefillTokens).toBe(4);
  });

  test('books nothing for a query', () => {
    const { place, router } = makeRouter(1);
    expect(place({ queryOnly: true }).booking).toBeUndefined();
    expect(router.loads()[0]!.activeRequests).toBe(0);
  });

  test('refuses an id that is active', () => {
    const { place, refuse } = makeRouter(2);
    const { booking } = place({ requestId: 'same' });
    expect(refuse({ requestId: 'same' }).outcome).toBe('duplicate');
    booking?.free();
    place({ requestId: 'same' });
  });

  test('fails on an empty prompt', () => {
    const { place } = makeRouter(1);
    expect(() => place({ tokens: new Uint32Array(0) })).toThrow('empty prompt');
  });

  test('counts prompt blocks in active use as no additional blocks', () => {
    const { place } = makeRouter(2);
    const { worker } = place();
    const { decision } = place();
    const additional = explain(decision).map(({ worker, additionalBlocks }) => [
      worker.workerId,
      additionalBlocks,
    ]);
    expect(Object.fromEntries(additional)).toEqual({
      [worker.workerId]: 0,
      [worker.workerId === '1' ? '2' : '1']: 4,
    });
  });

  test('without reuse counts every prompt in full', () => {
    const { place, router } = makeRouter(1);
    place();
    place({ overrides: { assumeKvReuse: false } });
    expect(router.loads()[0]!.activeDecodeBlocks).toBe(8);
  });

  test('applies overrides to one request only', () => {
    const { place } = makeRouter(2, routerConfig(), { index: indexWith([4, 0]) });
    const blind = place({ overrides: { overlapScoreWeight: 0 }, queryOnly: true });
    expect(blind.overlap.device).toBe(0);
    expect(place({ queryOnly: true }).overlap.device).toBe(4);
  });

  test('tells the observer of phases, request and loads', () => {
    const routed: RoutedFacts[] = [];
    const loads: [string, number, number, string][] = [];
    let phases = 0;
    const observer: RouterObserver = {
      phases: (timings) => {
        const { blockHashingMs, indexerFindMatchesMs, seqHashingMs, schedulingMs, totalMs } = timings;
        expect(blockHashingMs + indexerFindMatchesMs + seqHashingMs + schedulingMs).toBe(totalMs);
        phases++;
      },
      routed: (facts) => routed.push(facts),
      loadChanged: (worker, blocks, tokens, cause) => loads.push([worker.workerId, blocks, tokens, cause]),
    };
    const { place } = makeRouter(1, routerConfig({ trackOutputBlocks: true }), {
      observer,
      index: indexWith([2]),
    });
    const { booking } = place({ tokens: tokensFrom(0, 18) });
    booking?.outputTokens(1);
    booking?.outputTokens(2);
    booking?.free();
    expect(phases).toBe(1);
    expect(routed).toEqual([
      { worker: { workerId: '1', dpRank: 0 }, isl: 18, promptBlocks: 5, overlapBlocks: 2, queryOnly: false },
    ]);
    expect(loads).toEqual([
      ['1', 4, 10, 'add'],
      ['1', 4, 0, 'prefill_complete'],
      ['1', 5, 0, 'output_block'],
      ['1', 0, 0, 'free'],
    ]);
  });

  test('drops what it knew of a worker that left, and says nothing more of its load', () => {
    const seen: string[] = [];
    const observer: RouterObserver = {
      workerRemoved: ({ workerId }) => seen.push(`removed ${workerId}`),
      loadChanged: ({ workerId }, _blocks, _tokens, cause) => seen.push(`${cause} ${workerId}`),
    };
    const { place, router, refuse } = makeRouter(1, routerConfig(), { observer });
    const { booking } = place();
    router.removeWorker('1');
    booking?.free();
    expect(seen).toEqual(['add 1', 'removed 1']);
    expect(refuse().outcome).toBe('no_workers');
  });

  test('learns how far its predictions are off', () => {
    const { place, router } = makeRouter(1, routerConfig(), { index: indexWith([3]) });
    const worker = { workerId: '1', dpRank: 0 };
    for (const actual of [12, 8, 4]) router.recordActual(place().decision, actual);
    expect(router.biasOf(worker)).toEqual({ count: 3, biasTokens: 4, meanAbsoluteErrorTokens: 4 });
    const { decision } = place();
    router.recordActual(decision, 12);
    router.recordActual(decision, 0);
    expect(router.biasOf(worker)?.count).toBe(4);
  });

  test('is not off where it predicts nothing', () => {
    const { place, router } = makeRouter(1, routerConfig({ mode: 'round-robin' }), { index: indexWith([3]) });
    const { decision } = place();
    router.recordActual(decision, 12);
    expect(decision.actualCachedTokens).toBe(12);
    expect(router.biasOf({ workerId: '1', dpRank: 0 })?.count ?? 0).toBe(0);
  });
});

describe('without events', () => {
  const config = routerConfig({ useKvEvents: false, ttlMs: 1000 });

  test('a prompt counts as cached where it went, until its time is over', () => {
    const { place, clock } = makeRouter(4, config);
    const { worker, booking } = place();
    booking?.free();
    clock.advanceTo(900);
    expect(place({ queryOnly: true })).toMatchObject({ worker, predictedCachedTokens: 16 });
    clock.advanceTo(1000);
    expect(place({ queryOnly: true }).predictedCachedTokens).toBe(0);
  });

  test('routing it again starts the time anew', () => {
    const { place, clock } = makeRouter(4, config);
    const { booking } = place();
    booking?.free();
    clock.advanceTo(650);
    place().booking?.free();
    clock.advanceTo(1650);
    expect(place({ queryOnly: true }).predictedCachedTokens).toBe(16);
    // 1650 rounds up to the next 100 ms.
    clock.advanceTo(1700);
    expect(place({ queryOnly: true }).predictedCachedTokens).toBe(0);
  });
});

describe('a rank that publishes nothing among others that do', () => {
  test('is guessed from what went to it', () => {
    const { place, router } = makeRouter(2, routerConfig(), { index: indexWith([1, 0]) });
    router.intake.markSilent({ workerId: '2', dpRank: 0 });
    const pinned = (workerId: string) => ({ controls: { workerId } });
    place(pinned('1')).booking?.free();
    place(pinned('2')).booking?.free();
    expect(place({ queryOnly: true, ...pinned('1') }).overlap.device).toBe(1);
    expect(place({ queryOnly: true, ...pinned('2') }).overlap.device).toBe(4);
  });
});

describe('with predictions beside events', () => {
  test('a rank counts with the larger of the two', () => {
    const config = routerConfig({ predictedTtlMs: 1000 });
    const { place } = makeRouter(2, config, { index: indexWith([1, 0]) });
    place({ controls: { workerId: '2' } }).booking?.free();
    expect(place({ queryOnly: true })).toMatchObject({ worker: { workerId: '2' }, overlap: { device: 4 } });
    expect(place({ queryOnly: true, controls: { workerId: '1' } }).overlap.device).toBe(1);
  });
});

describe('pins', () => {
  test('decide, and say why they cannot', () => {
    const { place, refuse, router } = makeRouter(2);
    router.addWorker({ workerId: 'wide', dpSize: 2 });
    router.addWorker({ workerId: 'sick', inhibited: true });
    expect(place({ controls: { workerId: '2' } })).toMatchObject({ worker: { workerId: '2' } });
    expect(place({ controls: { workerId: 'wide', dpRank: 1 } }).worker).toEqual({
      workerId: 'wide',
      dpRank: 1,
    });
    const reasons = [
      { workerId: '9' },
      { workerId: 'sick' },
      { workerId: 'wide' },
      { workerId: 'wide', dpRank: 2 },
      { workerId: '1', allowedWorkers: new Set(['2']) },
      { workerId: '1', requiredTaints: ['gold'] },
    ].map((controls) => refuse({ controls }));
    expect(new Set(reasons.map(({ outcome }) => outcome))).toEqual(new Set(['pin_not_allowed']));
    expect(reasons.map(({ reason }) => reason)).toEqual([
      'worker 9 is not known',
      'worker sick takes no new requests',
      'worker wide has 2 data-parallel ranks: name the one',
      'worker wide has no data-parallel rank 2',
      'worker 1 is not among those allowed for this request',
      'worker 1 lacks a required taint',
    ]);
  });

  test('are what the direct mode needs', () => {
    const { place, refuse } = makeRouter(2, routerConfig({ mode: 'direct' }));
    expect(refuse().outcome).toBe('worker_required');
    expect(place({ controls: { workerId: '2' } }).worker.workerId).toBe('2');
  });
});

describe('inspecting', () => {
  test('shows what select would weigh, and leaves no trace', () => {
    const { router, place } = makeRouter(3, routerConfig(), { index: indexWith([0, 3, 1]) });
    const request = { requestId: 'ask', tokens: tokensFrom(0, 16) };
    const seen = router.inspect(request);
    expect([...router.decisions.latest()]).toEqual([]);
    const chosen = explain(place({ requestId: 'go' }).decision);
    expect(seen).toEqual(chosen.map((each) => ({ ...each, chosen: false, probability: undefined })));
    router.removeWorker('1');
    router.removeWorker('2');
    router.removeWorker('3');
    expect(router.inspect(request)).toMatchObject({ outcome: 'no_workers' });
  });
});

describe('bookings', () => {
  test('leave nothing behind, whatever joins, leaves, fails or expires', () => {
    const step = fc.record({
      kind: fc.constantFrom(
        'select',
        'select',
        'select',
        'output',
        'prefill',
        'free',
        'join',
        'leave',
        'wait',
      ),
      pick: fc.nat(),
      first: fc.nat(3),
      length: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const config = routerConfig({ trackOutputBlocks: true, affinityTtlMs: 1000, predictedTtlMs: 500 });
        const { router, clock } = makeRouter(2, config, { index: new NaiveIndex() });
        const live: Selection[] = [];
        for (const [number, { kind, pick, first, length }] of steps.entries()) {
          const some = live[pick % Math.max(1, live.length)]?.booking;
          const workerId = String(1 + (pick % 4));
          if (kind === 'select') {
            const controls = { sessionId: `s${pick % 5}` };
            const tokens = tokensFrom(1000 * first, length);
            const outcome = router.select({
              requestId: `r${number}`,
              tokens,
              controls,
              expectedOutputTokens: 30,
            });
            if (outcome.kind === 'selected') live.push(outcome);
          } else if (kind === 'output') some?.outputTokens(length);
          else if (kind === 'prefill') some?.prefillComplete();
          else if (kind === 'free') some?.free(pick % 2 === 0 ? 'done' : 'failed');
          else if (kind === 'join') router.addWorker({ workerId, dpSize: 1 + (length % 2) });
          else if (kind === 'leave') router.removeWorker(workerId);
          else clock.advanceTo(clock.nowMs() + 10_000 * length);
          for (const load of router.loads()) {
            expect(load.activeDecodeBlocks).toBeGreaterThanOrEqual(0);
            expect(load.activePrefillTokens).toBeGreaterThanOrEqual(0);
          }
        }
        for (const { booking } of live) booking?.free();
        for (const load of router.loads())
          expect([load.activeDecodeBlocks, load.activePrefillTokens, load.activeRequests]).toEqual([0, 0, 0]);
        expect(router.sequences.size).toBe(0);
        clock.runUntilIdle();
      }),
      { numRuns: 150 },
    );
  });
});
