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

  test('of SGLang with attention in parallel is told for each rank, by the first of its tensor-parallel ranks', () => {
    const series = (name: string, dp: number, tp: number, value: number, more = ''): string =>
      `sglang:${name}{dp_rank="${dp}",tp_rank="${tp}"${more}} ${value}\n`;
    const text = [
      series('num_running_reqs', 0, 0, 3),
      series('num_running_reqs', 1, 2, 5),
      // A follower, as with --enable-metrics-for-all-schedulers.
      series('num_running_reqs', 1, 3, 5),
      ...[2, 3].map((tp) => series('prefill_effective_tokens_total', 1, tp, 100, ',mode="input"')),
      ...[2, 3].map((tp) => series('prefill_effective_tokens_total', 1, tp, 40, ',mode="device_hit"')),
    ].join('');
    const loads = loadsOf(text);
    expect(loads).toMatchObject([
      { rank: 0, running: 3 },
      { rank: 1, running: 5, prefixHits: 40, prefixQueries: 100 },
    ]);
    expect(totalLoad(loads)).toMatchObject({ running: 8 });
  });

  test('of SGLang with priorities is that of all of them', () => {
    const text = ['1', '2', ''].map((of, i) => `sglang:num_queue_reqs{priority="${of}"} ${[4, 5, 9][i]}\n`);
    expect(loadsOf(text.join(''))).toMatchObject([{ waiting: 9 }]);
  });

  test('of llama.cpp is what it works on and what waits', () => {
    const text = 'llamacpp:requests_processing 2\nllamacpp:requests_deferred 3\n';
    expect(loadsOf(text)).toMatchObject([{ running: 2, waiting: 3, kvUsage: undefined }]);
  });

  test('that is not told is unknown, not zero', () => {
    expect(loadsOf('# TYPE x gauge\nx 1\n')).toEqual([]);
    const [load] = loadsOf('vllm:num_requests_running 2\nvllm:kv_cache_usage_perc NaN\n');
    expect(load).toMatchObject({ running: 2, waiting: undefined, kvUsage: undefined, hitRate: undefined });
    expect(totalLoad([])).toMatchObject({ running: undefined, kvUsage: undefined, hitRate: undefined });
  });
});
