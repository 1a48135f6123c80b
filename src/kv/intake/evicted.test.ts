import { expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import { routerConfig } from '../config.ts';
import { WasmIndex } from '../index/wasm-index.ts';
import { KvRouter } from '../kv-router.ts';

test('a rank of which the index had to let blocks go is not exact until it begins anew', () => {
  const index = new WasmIndex({ limitBytes: 2 ** 20 });
  const [clock, random] = [new VirtualClock(), new SeededRandom(1)];
  const router = new KvRouter({ blockSize: 16, clock, random, config: routerConfig(), index });
  router.addWorker({ workerId: '1' });
  const stream = router.intake.open({ workerId: '1', dpRank: 0 });
  const state = () => router.intake.states()[0];
  let seq = 0;
  const store = (): void => {
    const hashes = BigUint64Array.from({ length: 64 }, (_, i) => BigInt(1 + 64 * seq + i));
    const stored = {
      kind: 'stored',
      parentHash: undefined,
      blockHashes: hashes,
      localHashes: hashes,
    } as const;
    stream.deliver({ seq: seq++, events: [stored] });
  };
  store();
  expect(state()).toMatchObject({ state: 'exact', residentBlocks: 64 });
  for (let i = 0; i < 400 && index.stats().evicted === 0; i++) store();
  const { evicted, memoryBytes } = index.stats();
  expect(evicted).toBeGreaterThan(0);
  expect(memoryBytes).toBeLessThanOrEqual(2 ** 20);
  expect(index.evictedOf(0)).toBe(evicted);
  expect(state()).toMatchObject({
    state: 'degraded',
    reason: `the index let go of ${evicted} of its blocks for lack of memory`,
  });
  stream.deliver({ seq: seq++, events: [{ kind: 'cleared' }] });
  expect(state()).toMatchObject({ state: 'exact', residentBlocks: 0 });
  router.stop();
});
