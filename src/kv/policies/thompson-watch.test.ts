import { expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SeededRandom } from '../../base/random.ts';
import { ProcessMetrics } from '../../metrics/process-metrics.ts';
import { ThompsonRouterMetrics } from '../../metrics/thompson-router-metrics.ts';
import { routerConfig } from '../config.ts';
import { KvRouter } from '../kv-router.ts';
import type { Selection } from '../selection.ts';
import { ThompsonWatch } from './thompson-watch.ts';

test('a watch shows what a Thompson policy decides and learns, and what it hears nothing of', async () => {
  const clock = new VirtualClock();
  const process = new ProcessMetrics({ clock, instanceId: 1n });
  const watch = new ThompsonWatch(new ThompsonRouterMetrics(process), clock, 60_000);
  const router = new KvRouter({
    blockSize: 16,
    clock,
    random: new SeededRandom(1),
    config: routerConfig({ mode: 'thompson' }),
    observer: watch.observer,
  });
  router.addWorker({ workerId: '1' });
  const ask = (remainingCalls: number): Selection =>
    router.select({
      requestId: crypto.randomUUID(),
      tokens: new Uint32Array(48),
      conversation: { prefixId: 'c', remainingCalls },
    }) as Selection;
  const value = async (series: string): Promise<number> => {
    watch.refresh();
    const text = String((await process.scrape()).body);
    const line = text.split('\n').find((each) => each.startsWith(`${series} `));
    return Number(line?.slice(series.length));
  };
  const first = ask(1);
  expect(await value('thompson_router_decisions_total{worker_id="1"}')).toBe(1);
  expect(await value('thompson_router_prefix_state_size')).toBe(1);
  expect(await value('thompson_router_pending_decisions')).toBe(1);
  router.recordOutcome(first.decision, { outcome: 'success', latencyMs: 500, outputTokens: 5 });
  expect(await value('thompson_router_feedback_latency_seconds_count{worker_id="1"}')).toBe(1);
  expect(await value('thompson_router_beta_alpha{worker_id="1"}')).toBeGreaterThan(1);
  ask(0);
  expect(await value('thompson_router_sticky_decisions_total')).toBe(1);
  expect(await value('thompson_router_switch_decisions_total')).toBe(0);
  expect(await value('thompson_router_prefix_state_size')).toBe(0);
  expect(await value('thompson_router_pending_decisions')).toBe(1);
  clock.advanceTo(60_001);
  expect(await value('thompson_router_timeout_penalties_total')).toBe(1);
  expect(await value('thompson_router_pending_decisions')).toBe(0);
});
