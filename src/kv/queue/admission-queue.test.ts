import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import { routerConfig } from '../config.ts';
import { KvRouter, type KvRouterOptions } from '../kv-router.ts';
import type { QueueDepth } from '../observer.ts';
import type { RequestControls } from '../route-request.ts';
import type { Refusal } from '../select.ts';
import type { Selection } from '../selection.ts';
import { type QueueConfig, readQueueConfig } from './policy-classes.ts';

const one = (fields: object = {}): QueueConfig =>
  readQueueConfig({ policy_classes: [{ name: 'default', prefill_busy_threshold: 10, ...fields }] });

interface Asked {
  readonly signal: AbortController;
  outcome: Selection | Refusal | undefined;
  failure: unknown;
}

/** A router whose workers are busy above 10 prompt tokens; outcomes are noted as they come. */
function makeQueue(queue: QueueConfig, workers = 1, options: Partial<KvRouterOptions> = {}) {
  const clock = new VirtualClock();
  const depths: QueueDepth[] = [];
  const pressures: [string, string][] = [];
  const router = new KvRouter({
    blockSize: 4,
    clock,
    random: new SeededRandom(1),
    config: routerConfig({ queue }),
    observer: {
      queueChanged: (depth) => depths.push(depth),
      backpressure: (policyClass, reason) => pressures.push([policyClass, reason]),
    },
    ...options,
  });
  for (let id = 1; id <= workers; id++) router.addWorker({ workerId: String(id) });
  const order: string[] = [];
  let prompts = 0;
  const ask = (requestId: string, controls: RequestControls = {}, isl = 40): Asked => {
    const asked: Asked = { signal: new AbortController(), outcome: undefined, failure: undefined };
    const tokens = new Uint32Array(isl).fill(++prompts);
    void Promise.resolve(router.admit({ requestId, tokens, controls }, asked.signal.signal)).then(
      (outcome) => {
        asked.outcome = outcome;
        if (outcome.kind === 'selected') order.push(requestId);
      },
      (failure) => {
        asked.failure = failure;
      },
    );
    return asked;
  };
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await undefined;
  };
  /** Ends the prefill of a placed request, which makes room. */
  const finish = async ({ outcome }: Asked): Promise<void> => {
    if (outcome?.kind !== 'selected') throw new Error('was not placed');
    outcome.booking?.prefillComplete();
    await settle();
  };
  return { router, clock, depths, pressures, order, ask, settle, finish };
}

describe('the admission queue', () => {
  test('answers at once while a rank has room', () => {
    const { router } = makeQueue(one());
    const outcome = router.admit({ requestId: 'a', tokens: new Uint32Array(8) });
    expect(outcome).toMatchObject({ kind: 'selected' });
  });

  test('holds back while every rank is busy, and lets go in order', async () => {
    const { ask, settle, finish, order, router } = makeQueue(one(), 2);
    const first = ask('a');
    const second = ask('b');
    const third = ask('c');
    ask('d');
    await settle();
    expect(order).toEqual(['a', 'b']);
    expect(router.queued).toBe(2);
    await finish(second);
    expect(order).toEqual(['a', 'b', 'c']);
    await finish(first);
    expect(order).toEqual(['a', 'b', 'c', 'd']);
    expect(third.outcome).toMatchObject({
      worker: second.outcome?.kind === 'selected' && second.outcome.worker,
    });
    expect(router.queued).toBe(0);
  });

  test('puts newcomers behind a backlog even when their own ranks have room', async () => {
    const { ask, settle, finish, order } = makeQueue(one(), 2);
    const busy = ask('busy', { workerId: '1' });
    await settle();
    ask('pinned', { workerId: '1' });
    ask('anyone');
    await settle();
    expect(order).toEqual(['busy']);
    await finish(busy);
    expect(order).toEqual(['busy', 'pinned', 'anyone']);
  });

  test('obeys strict priority, then head start, then arrival', async () => {
    const { ask, settle, finish, order, clock } = makeQueue(one());
    const asked = new Map([['now', ask('now')]]);
    const note = (id: string, controls: RequestControls = {}): void => void asked.set(id, ask(id, controls));
    clock.advanceTo(1000);
    note('first');
    clock.advanceTo(2000);
    note('ahead', { priority: 5 });
    note('second', { priority: -100 });
    note('strict', { strictPriority: 1 });
    await settle();
    for (let i = 0; i < 4; i++) await finish(asked.get(order.at(-1)!)!);
    expect(order).toEqual(['now', 'strict', 'ahead', 'first', 'second']);
  });

  test('lets an aborted request go at once, and unblocks those behind it', async () => {
    const { ask, settle, order, router } = makeQueue(one(), 2);
    ask('busy', { workerId: '1' });
    const blocker = ask('blocker', { workerId: '1' });
    ask('behind', { workerId: '2' });
    await settle();
    expect(router.queued).toBe(2);
    const reason = new Error('client left');
    blocker.signal.abort(reason);
    await settle();
    expect(blocker.failure).toBe(reason);
    expect(order).toEqual(['busy', 'behind']);
    expect(router.queued).toBe(0);
  });

  test('frees what it booked for a caller that left in the same turn', async () => {
    const { ask, settle, router } = makeQueue(one());
    const first = ask('a');
    const second = ask('b');
    await settle();
    if (first.outcome?.kind === 'selected') first.outcome.booking?.free();
    expect(router.loads()[0]!.activeRequests).toBe(1);
    second.signal.abort(new Error('client left'));
    await settle();
    expect(second.failure).toBeInstanceOf(Error);
    expect(router.loads()[0]!.activeRequests).toBe(0);
  });

  test('does not queue what nobody can serve', async () => {
    const { ask, settle, router } = makeQueue(one());
    ask('busy');
    const asked = ask('nowhere', { workerId: '9' });
    await settle();
    expect(asked.outcome).toMatchObject({ outcome: 'pin_not_allowed' });
    expect(router.queued).toBe(0);
  });

  test('refuses what waits for a worker that left', async () => {
    const { ask, settle, router } = makeQueue(one());
    ask('busy');
    const waiting = ask('waiting');
    await settle();
    router.removeWorker('1');
    await settle();
    expect(waiting.outcome).toMatchObject({ outcome: 'no_workers' });
  });

  test('lets go when a worker joins', async () => {
    const { ask, settle, order, router } = makeQueue(one());
    ask('a');
    ask('b');
    router.addWorker({ workerId: 'new' });
    await settle();
    expect(order).toEqual(['a', 'b']);
  });

  test.each([
    ['request', { request_queue_limit_per_worker: 1 }],
    ['raw ISL', { raw_isl_queue_limit_per_worker: 79 }],
  ])('refuses above the %s limit', async (kind, limits) => {
    const { ask, settle, pressures } = makeQueue(one(limits));
    ask('busy');
    ask('waits');
    const refused = ask('too much');
    await settle();
    expect(refused.outcome).toMatchObject({ outcome: 'queue_full', reason: expect.stringContaining(kind) });
    expect(pressures).toEqual([['default', kind]]);
  });

  test('tells its depth', async () => {
    const { ask, settle, finish, depths } = makeQueue(one());
    const first = ask('a');
    ask('b', {}, 12);
    await settle();
    await finish(first);
    expect(depths).toEqual([
      { policyClass: 'default', requests: 1, islTokens: 12, cachedTokens: 0 },
      { policyClass: 'default', requests: 0, islTokens: 0, cachedTokens: 0 },
    ]);
  });

  test('looks again every 60 s, or 100 ms when backlogs shrink by themselves, and only while something waits', async () => {
    const plain = makeQueue(one());
    plain.ask('a');
    plain.ask('b');
    await plain.settle();
    plain.clock.advanceTo(59_999);
    await plain.settle();
    expect(plain.order).toEqual(['a']);

    const modelled = makeQueue(one(), 1, { loadModel: { durationMs: ({ newTokens }) => 10 * newTokens } });
    modelled.ask('a');
    modelled.ask('b');
    await modelled.settle();
    // 40 tokens in 400 ms: 10 are left after 300 ms.
    modelled.clock.advanceTo(299);
    await modelled.settle();
    expect(modelled.order).toEqual(['a']);
    modelled.clock.advanceTo(300);
    await modelled.settle();
    expect(modelled.order).toEqual(['a', 'b']);
  });

  test('shares between classes by their quanta', async () => {
    const queue = readQueueConfig({
      default_policy_family: 'bulk',
      policy_classes: [
        { name: 'bulk', quantum: 40, prefill_busy_threshold: 10 },
        { name: 'chat', quantum: 120, prefill_busy_threshold: 10 },
      ],
    });
    const { ask, settle, order, router } = makeQueue(queue);
    const asked = new Map<string, Asked>();
    const note = (id: string, policyClass: string): void => void asked.set(id, ask(id, { policyClass }));
    note('busy', 'bulk');
    for (let i = 1; i <= 6; i++) {
      note(`bulk${i}`, 'bulk');
      note(`chat${i}`, 'chat');
    }
    await settle();
    while (router.queued > 0) {
      const running = asked.get(order.at(-1)!)!;
      if (running.outcome?.kind === 'selected') running.outcome.booking?.free();
      await settle();
    }
    expect(order).toEqual(
      'busy bulk1 chat1 chat2 chat3 bulk2 chat4 chat5 chat6 bulk3 bulk4 bulk5 bulk6'.split(' '),
    );
  });

  test('refuses everything when it stops', async () => {
    const { ask, settle, router } = makeQueue(one());
    ask('a');
    const waiting = ask('b');
    await settle();
    router.stop();
    await settle();
    expect(waiting.outcome).toMatchObject({ outcome: 'no_workers' });
  });
});
