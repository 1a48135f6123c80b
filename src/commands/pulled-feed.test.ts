import { afterEach, expect, test } from 'vitest';
import { startPulledEngine } from '../../test/support/pulled-engine.ts';
import { until } from '../../test/support/until.ts';
import { RealClock } from '../base/clock.ts';
import { SILENT_LOG } from '../base/log.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from '../kv/config.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { bareInstance } from '../transport/discovery.ts';
import { parseEngineSpec } from '../transport/engine-spec.ts';
import { HttpClient } from '../transport/http-client.ts';
import { followEngine } from './event-feed.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('a router knows the cache of TensorRT-LLM by asking it, and forgets it with a restart', async () => {
  const engine = await startPulledEngine();
  cleanups.push(engine.stop);
  const client = new HttpClient();
  const clock = new RealClock();
  const config = routerConfig({ mode: 'kv', quietMs: undefined });
  const index = new WasmIndex();
  const router = new KvRouter({ blockSize: 4, clock, random: new SeededRandom(1), config, index });
  router.addWorker({ workerId: '1' });
  const { kvEvents } = parseEngineSpec(`${engine.url},kv-events=pull`);
  const instance = { ...bareInstance('1', engine.url), kind: 'trtllm' as const, blockSize: 4, kvEvents };
  const prompt = Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  const cached = (): number => {
    const found = router.select({ requestId: 'q', tokens: prompt, queryOnly: true });
    return found.kind === 'selected' ? found.predictedCachedTokens : -1;
  };
  const state = (): string | undefined => router.intake.states()[0]?.state;
  const big = '17868415983866978093';
  engine.queue.push(
    engine.created,
    engine.stored(1, 'null', big, [1, 2, 3, 4]),
    engine.stored(2, big, '12', [5, 6, 7, 8]),
  );
  const stop = followEngine(instance, router, { client, clock, log: SILENT_LOG });
  cleanups.push(() => client.stop(), stop);
  await until(() => cached() === 8);
  expect(state()).toBe('exact');
  engine.queue.push(`{"event_id":3,"window_size":64,"data":{"type":"removed","block_hashes":[12]}}`);
  await until(() => cached() === 4);
  engine.queue.push(engine.created, engine.stored(1, 'null', '77', [9, 9, 9, 9]));
  await until(() => cached() === 0);
  expect(state()).toBe('exact');
  // One of its events was dropped there before anybody asked.
  engine.queue.push(engine.stored(5, 'null', '78', [1, 2, 3, 4]));
  await until(() => cached() === 4);
  expect(state()).toBe('degraded');
});
