import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from './config.ts';
import { BlockHasher } from './hash.ts';
import { NaiveIndex } from './index/naive-index.ts';
import { KvRouter } from './kv-router.ts';

test('a router predicts all that a rank holds, and books what lower tiers spare of it', () => {
  const tokens = Uint32Array.from({ length: 16 }, (_, i) => i);
  const { local, sequence } = new BlockHasher().hashPrompt(tokens, 4);
  const index = new NaiveIndex();
  const store = (tier: 'device' | 'host_pinned', from: number, to: number) =>
    index.apply(0, {
      kind: 'stored',
      tier,
      parentHash: from === 0 ? undefined : sequence[from - 1],
      blockHashes: sequence.slice(from, to),
      localHashes: local.slice(from, to),
    });
  store('device', 0, 2);
  store('host_pinned', 2, 4);
  const [clock, random] = [new VirtualClock(), new SeededRandom(1)];
  const router = new KvRouter({ blockSize: 4, clock, random, config: routerConfig(), index });
  router.addWorker({ workerId: '1' });
  const outcome = router.select({ requestId: 'r', tokens });
  if (outcome.kind === 'refused') throw new Error(outcome.reason);
  const { decision } = outcome;
  expect(decision).toMatchObject({ predictedCachedTokens: 16, creditedCachedTokens: 14 });
  expect(router.loads()).toMatchObject([{ activePrefillTokens: 2 }]);
  router.recordActual(decision, 16);
  expect(router.biasOf({ workerId: '1', dpRank: 0 })?.biasTokens).toBe(0);
});
