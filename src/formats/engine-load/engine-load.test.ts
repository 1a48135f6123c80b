import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseExposition } from '../prometheus-text/parse.ts';
import { readEngineLoads, totalLoad } from './engine-load.ts';

const golden = new URL('../../../test/golden/engine/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, golden), 'utf8');
const { rule_usedBlocks: _, ...expected } = JSON.parse(read('metrics-expected.json')) as Record<
  string,
  { readonly engines: Record<string, object>; readonly aggregate?: Record<string, number> }
>;
const loadsOf = (text: string) => readEngineLoads(parseExposition(text));

describe('the load of an engine', () => {
  test.each(Object.entries(expected))('is read from %s', (file, { engines }) => {
    const loads = loadsOf(read(file));
    expect(loads.map(({ rank }) => String(rank))).toEqual(Object.keys(engines));
    for (const load of loads) expect(load).toMatchObject(engines[load.rank]!);
  });

  test('is summed over the ranks, its ratios weighted by blocks', () => {
    const { aggregate } = expected['metrics-vllm.prom']!;
    expect(totalLoad(loadsOf(read('metrics-vllm.prom')))).toMatchObject({
      running: aggregate?.running,
      waiting: aggregate?.waiting,
      usedBlocks: aggregate?.usedBlocks,
      totalBlocks: aggregate?.totalBlocks,
      kvUsage: aggregate?.kvUsageWeighted,
      hitRate: aggregate?.hitRate,
    });
  });

  test('of SGLang is told in blocks too, once for a tensor-parallel group', () => {
    const [load, ...others] = loadsOf(
      `${read('metrics-sglang.prom')}sglang:num_running_reqs{tp_rank="1"} 4\nsglang:num_running_reqs{tp_rank="0",dp_rank="1"} 9\n`,
    );
    expect(load).toMatchObject({ totalBlocks: 27647, usedBlocks: 7741, blockSize: 16, running: 4 });
    expect(others).toMatchObject([{ rank: 1, running: 9 }]);
  });

  test('that is not told is unknown, not zero', () => {
    expect(loadsOf('# TYPE x gauge\nx 1\n')).toEqual([]);
    const [load] = loadsOf('vllm:num_requests_running 2\nvllm:kv_cache_usage_perc NaN\n');
    expect(load).toMatchObject({ running: 2, waiting: undefined, kvUsage: undefined, hitRate: undefined });
    expect(totalLoad([])).toMatchObject({ running: undefined, kvUsage: undefined, hitRate: undefined });
  });
});
