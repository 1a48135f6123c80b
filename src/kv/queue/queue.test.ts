import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../base/random.ts';
import { ClassQueue, type QueueEntry } from './class-queue.ts';
import { DeficitRoundRobin } from './deficit-round-robin.ts';
import { canQueue, classOf, readQueueConfig, singleClass } from './policy-classes.ts';
import { type QueuePolicy, queueKey } from './queue-order.ts';

const golden = JSON.parse(readFileSync(new URL('../../../test/golden/router.json', import.meta.url), 'utf8'));

interface GoldenKey {
  readonly policy: QueuePolicy;
  readonly priority_jump: number;
  readonly arrival_s?: number;
  readonly isl?: number;
  readonly best_cached?: number;
  readonly key: number;
}

describe('the key of a waiting request', () => {
  test.each(golden.queue_keys as GoldenKey[])('is $key under $policy', (vector) => {
    const {
      priority_jump: priority,
      arrival_s: arrivalS = 0,
      isl = 0,
      best_cached: bestCachedTokens = 0,
    } = vector;
    expect(queueKey(vector.policy, { priority, arrivalS, isl, bestCachedTokens })).toBe(vector.key);
  });
});

interface GoldenDrr {
  readonly classes: readonly { readonly name: string; readonly quantum: number; readonly costs: number[] }[];
  readonly dispatch: readonly {
    readonly class: string;
    readonly cost: number;
    readonly deficits: number[];
  }[];
}

/** Dispatches everything that waits, telling each step. */
function drainAll({ classes }: Pick<GoldenDrr, 'classes'>) {
  const turns = new DeficitRoundRobin(classes.map(({ quantum }) => quantum));
  const queues = classes.map(({ costs }) => [...costs]);
  const steps = [];
  for (;;) {
    const index = turns.next((i) => queues[i]![0]);
    if (index === undefined) return steps;
    const cost = queues[index]!.shift()!;
    turns.paid(index, cost, queues[index]!.length === 0);
    steps.push({ class: classes[index]!.name, cost, deficits: [...turns.deficits] });
  }
}

describe('deficit round robin', () => {
  test.each(golden.drr as GoldenDrr[])('dispatches as recorded', (vector) => {
    expect(drainAll(vector)).toEqual(vector.dispatch);
  });

  test('gives in bulk the turns until the first class affords its head', () => {
    const example = golden.drr_bulk_doc_example;
    const turns = new DeficitRoundRobin([example.quantum.standard, example.quantum.latency]);
    const heads = [example.head_cost.standard, example.head_cost.latency];
    expect(turns.next((i) => heads[i])).toBe(1);
    turns.paid(1, heads[1], false);
    expect(turns.deficits).toEqual([example.standard_deficit_after, example.latency_deficit_after]);
  });

  test('gives nothing to classes whose head cannot go', () => {
    const turns = new DeficitRoundRobin([100, 100]);
    expect(turns.next((i) => (i === 1 ? 50 : undefined))).toBe(1);
    expect(turns.deficits).toEqual([0, 100]);
    expect(turns.next(() => undefined)).toBeUndefined();
  });

  test('shares tokens about in proportion to the quanta while all classes are backlogged', () => {
    const random = new SeededRandom(7);
    const costs = (): number[] => Array.from({ length: 4000 }, () => 1 + random.nextInt(500));
    const classes = [
      { name: 'a', quantum: 300, costs: costs() },
      { name: 'b', quantum: 100, costs: costs() },
    ];
    const spent = { a: 0, b: 0 };
    for (const step of drainAll({ classes }).slice(0, 4000)) spent[step.class as 'a' | 'b'] += step.cost;
    expect(Math.abs(spent.a / spent.b - 3)).toBeLessThan(0.2);
  });
});

describe('a class queue', () => {
  const entry = (strictPriority: number, key: number, order: number): QueueEntry => ({
    strictPriority,
    key,
    order,
    isl: 10,
    cachedTokens: 4,
    cost: 6,
  });

  test('orders by strict priority, then key, then arrival', () => {
    const queue = new ClassQueue<QueueEntry>();
    const entries = [entry(0, 5, 0), entry(0, 9, 1), entry(1, -3, 2), entry(0, 9, 3)];
    for (const each of entries) queue.push(each);
    expect(entries.map(() => queue.pop()?.order)).toEqual([2, 1, 3, 0]);
    expect(queue.pop()).toBeUndefined();
  });

  test('forgets aborted requests at once, whatever the order of calls', () => {
    const step = fc.record({
      kind: fc.constantFrom('push', 'push', 'pop', 'remove'),
      strict: fc.nat(2),
      key: fc.integer({ min: -3, max: 3 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const queue = new ClassQueue<QueueEntry>();
        let model: QueueEntry[] = [];
        for (const [order, { kind, strict, key, pick }] of steps.entries()) {
          if (kind === 'push') {
            const pushed = entry(strict, key, order);
            queue.push(pushed);
            model.push(pushed);
            model.sort((a, b) => b.strictPriority - a.strictPriority || b.key - a.key || a.order - b.order);
          } else if (kind === 'pop') {
            expect(queue.pop()).toBe(model.shift());
          } else if (model.length > 0) {
            const victim = model[pick % model.length]!;
            expect(queue.remove(victim)).toBe(true);
            expect(queue.remove(victim)).toBe(false);
            model = model.filter((each) => each !== victim);
          }
          expect([queue.size, queue.islTokens, queue.cachedTokens]).toEqual([
            model.length,
            10 * model.length,
            4 * model.length,
          ]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('policy classes', () => {
  const document = {
    default_policy_family: 'standard',
    uncached_isl_buckets: [
      { min_tokens: 0, bucket: 'small' },
      { min_tokens: 2048, bucket: 'large' },
    ],
    policy_classes: [
      {
        name: 'small',
        policy_family: 'standard',
        cache_bucket: 'small',
        queue_policy: 'wspt',
        quantum: 1000,
      },
      { name: 'large', policy_family: 'standard', cache_bucket: 'large', prefill_busy_threshold_frac: 0.5 },
      { name: 'latency', request_queue_limit_per_worker: 4, prefill_busy_threshold: 100 },
    ],
    models: { tiny: { uncached_isl_buckets: [{ min_tokens: 0, bucket: 'small' }] } },
  };

  test('are read from a document', () => {
    const config = readQueueConfig(document);
    expect(config.classes[0]).toMatchObject({ name: 'small', queuePolicy: 'wspt', quantum: 1000 });
    expect(config.classes[2]).toMatchObject({
      family: 'latency',
      busyThreshold: 100,
      requestLimitPerWorker: 4,
    });
    expect(readQueueConfig(document, 'tiny').buckets).toHaveLength(1);
    expect(canQueue(config)).toBe(true);
    expect(canQueue(singleClass('fcfs', undefined))).toBe(false);
  });

  test('take requests by family and by uncached tokens', () => {
    const config = readQueueConfig(document);
    const name = (family: string | undefined, uncached: number): string =>
      config.classes[classOf(config, family, uncached)]!.name;
    expect(name(undefined, 0)).toBe('small');
    expect(name(undefined, 2047)).toBe('small');
    expect(name('standard', 2048)).toBe('large');
    expect(name('latency', 9000)).toBe('latency');
    expect(name('unheard of', 9000)).toBe('large');
  });

  test.each([
    [[], /is not a mapping/],
    [{ policy_classes: [] }, /names no class/],
    [{ policy_classes: [{ name: 'a', queue_policy: 'best' }] }, /best is no queue policy/],
    [{ policy_classes: [{ name: 'a', quantum: 0 }] }, /not above 0/],
    [{ policy_classes: [{ name: 'a', limit: 4 }] }, /policy_classes\[0\].limit/],
    [{ policy_classes: [{ name: 'a' }, { name: 'a' }] }, /name twice/],
    [{ policy_classes: [{ name: 'a' }], default_policy_family: 'b' }, /has no class/],
    [
      { policy_classes: [{ name: 'a' }], uncached_isl_buckets: [{ min_tokens: 5, bucket: 'x' }] },
      /do not rise from 0/,
    ],
  ])('say what is wrong with %j', (wrong, message) => {
    expect(() => readQueueConfig(wrong)).toThrow(message);
  });
});
