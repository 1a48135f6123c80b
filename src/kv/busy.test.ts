import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from './config.ts';
import { KvRouter } from './kv-router.ts';

function twoWorkers() {
  const router = new KvRouter({
    blockSize: 4,
    clock: new VirtualClock(),
    random: new SeededRandom(1),
    config: routerConfig(),
  });
  for (const workerId of ['1', '2']) router.addWorker({ workerId });
  const foreign = () => router.loads().map((load) => load.foreignBlocks);
  const used = (workerId: string, kvUsedBlocks: number) =>
    router.reportLoad({ workerId, dpRank: 0 }, { kvUsedBlocks });
  let number = 0;
  const place = () => {
    const selection = router.select({
      requestId: String(number),
      tokens: Uint32Array.from({ length: 8 }, () => number++),
    });
    if (selection.kind === 'refused') throw new Error(selection.reason);
    return selection;
  };
  return { router, foreign, used, place };
}

describe('blocks of requests from before', () => {
  test('weigh until the engine is rid of them, and never grow', () => {
    const { foreign, used, place } = twoWorkers();
    expect(foreign()).toEqual([0, 0]);
    used('1', 40);
    used('2', 0);
    expect(foreign()).toEqual([40, 0]);
    for (let i = 0; i < 5; i++) expect(place().worker.workerId).toBe('2');
    used('1', 3);
    used('1', 50);
    expect(foreign()[0]).toBe(3);
    used('1', 0);
    used('1', 50);
    expect(foreign()[0]).toBe(0);
  });

  test('do not count what was booked here', () => {
    const { foreign, used, place, router } = twoWorkers();
    const { worker } = place();
    used(worker.workerId, 2);
    expect(foreign()).toEqual([0, 0]);
    used('2', 9);
    router.reportLoad({ workerId: '2', dpRank: 0 }, { foreignBlocks: 0 });
    expect(foreign()).toEqual([0, 0]);
  });
});
