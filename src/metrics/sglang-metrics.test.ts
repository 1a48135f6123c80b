import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { MetricsProbe, parseExposition, readEngineLoads } from '../../test/support/metrics-probe.ts';
import { SGLANG } from './names/sglang.ts';
import { Registry } from './registry.ts';
import { SglangMetrics } from './sglang-metrics.ts';
import type { FamilySpec } from './spec.ts';

const golden = parseExposition(
  readFileSync(new URL('../../test/golden/engine/metrics-sglang.prom', import.meta.url), 'utf8'),
).families;

function simulated(dpSize: number) {
  const probe = new MetricsProbe();
  const registry = new Registry({}, {});
  probe.metrics.attach(registry);
  const metrics = new SglangMetrics(registry, dpSize);
  const engines = Array.from({ length: dpSize }, (_, dpRank) =>
    metrics.engine({ modelName: 'M', dpRank, pageSize: 16, pages: 100 }),
  );
  const text = async (): Promise<string> => String((await probe.metrics.scrape()).body);
  return { engines, text };
}

describe('a simulated SGLang', () => {
  const shared = Object.values<FamilySpec>(SGLANG).filter(({ name }) => golden.has(name));

  test('has families in common with the sample of a real one', () => {
    expect(shared.length).toBeGreaterThan(10);
  });

  test.each(shared.map((spec) => [spec.name, spec] as const))('%s is as there', (name, { type, help }) => {
    const family = golden.get(name);
    expect([type, help]).toEqual([family?.type, family?.help]);
  });

  test('shows its load under the labels of one that has one rank', async () => {
    const { engines, text } = simulated(1);
    engines[0]!.setLoad(3, 2, 0.5);
    const labels = 'engine_type="unified",model_name="M",moe_ep_rank="0",pp_rank="0",tp_rank="0"';
    expect(await text()).toContain(`sglang:num_running_reqs{${labels}} 3\n`);
    expect(await text()).toContain(`sglang:num_used_tokens{${labels}} 800\n`);
  });

  test('is understood by the reader of engine loads, rank by rank', async () => {
    const { engines, text } = simulated(2);
    for (const [rank, engine] of engines.entries()) {
      engine.setLoad(rank + 1, rank, 0.25);
      engine.prefixLookup(100, 25 * (rank + 1));
      engine.refresh(0);
      engine.firstToken(0.2, 100, 25);
      engine.laterTokens(0.01, 19);
      engine.refresh(2000);
    }
    expect(readEngineLoads(parseExposition(await text()))).toMatchObject([
      { rank: 0, running: 1, waiting: 0, usedBlocks: 25, totalBlocks: 100, hitRate: 0.25, genThroughput: 10 },
      { rank: 1, running: 2, waiting: 1, usedBlocks: 25, totalBlocks: 100, hitRate: 0.5, genThroughput: 10 },
    ]);
  });

  test('counts prompts, answers and what was cached', async () => {
    const { engines, text } = simulated(1);
    const [engine] = engines;
    engine!.firstToken(0.3, 100, 64);
    engine!.laterTokens(0.01, 4);
    const times = { arrivalMs: 0, scheduledMs: 10, firstTokenMs: 300, endMs: 700 };
    const counts = { promptTokens: 100, cachedTokens: 64, generationTokens: 5 };
    for (const reason of ['stop', 'abort'] as const) engine!.finished({ reason, ...counts, ...times });
    const { families } = parseExposition(await text());
    const value = (family: string, sample = family): number | undefined =>
      families.get(family)?.samples.find(({ name }) => name === sample)?.value;
    expect(value('sglang:prompt_tokens_total')).toBe(100);
    expect(value('sglang:generation_tokens_total')).toBe(5);
    expect(value('sglang:cached_tokens_total')).toBe(64);
    expect([value('sglang:num_requests_total'), value('sglang:num_aborted_requests_total')]).toEqual([2, 1]);
    const e2e = 'sglang:e2e_request_latency_seconds';
    expect(value(e2e, `${e2e}_sum`)).toBeCloseTo(1.4);
    const itl = 'sglang:inter_token_latency_seconds';
    expect(value(itl, `${itl}_count`)).toBe(4);
  });
});
