import { expect, test } from 'vitest';
import { parseExposition } from '../prometheus-text/parse.ts';
import { readEngineLoads } from './engine-load.ts';
import { readIterationStats } from './iteration-stats.ts';
import { readSglangServerInfo } from './sglang-server-info.ts';

test('the latest iteration of each rank of TensorRT-LLM tells its load', () => {
  const stats = (attentionDpRank: number | undefined, usedNumBlocks: number) => ({
    attentionDpRank,
    iter: 7,
    numActiveRequests: 3,
    numQueuedRequests: 1,
    kvCacheStats: {
      usedNumBlocks,
      maxNumBlocks: 200,
      tokensPerBlock: 32,
      reusedBlocks: 6,
      missedBlocks: 2,
      cacheHitRate: 0.75,
    },
  });
  expect(readIterationStats([stats(1, 10), stats(undefined, 90), stats(0, 100), null])).toMatchObject([
    {
      rank: 0,
      running: 3,
      waiting: 1,
      kvUsage: 0.5,
      usedBlocks: 100,
      totalBlocks: 200,
      blockSize: 32,
      prefixHits: 192,
      prefixQueries: 256,
      hitRate: 0.75,
    },
    { rank: 1, kvUsage: 0.05, usedTokens: 320, totalTokens: 6400 },
  ]);
  expect(readIterationStats([])).toEqual([]);
  expect(readIterationStats([{}])).toMatchObject([{ rank: 0, running: undefined, kvUsage: undefined }]);
  expect(readIterationStats({ error: 'x' })).toBeUndefined();
});

test('SGLang’s server tells what its models do not', () => {
  const config = JSON.stringify({
    publisher: 'zmq',
    endpoint: 'tcp://*:5557',
    replay_endpoint: 'tcp://*:6557',
    topic: '',
  });
  expect(
    readSglangServerInfo({
      page_size: 16,
      max_total_num_tokens: 1605,
      dp_size: 2,
      max_running_requests: 64,
      chunked_prefill_size: -1,
      max_prefill_tokens: 16384,
      disaggregation_mode: 'prefill',
      disaggregation_bootstrap_port: 8998,
      kv_events_config: config,
      version: '0.5.2',
    }),
  ).toEqual({
    blockSize: 16,
    dpSize: 2,
    role: 'prefill',
    kvEvents: 'tcp://*:5557',
    replay: 'tcp://*:6557',
    totalKvBlocks: 100,
    maxNumSeqs: 64,
    maxNumBatchedTokens: 16384,
    bootstrapPort: 8998,
  });
  const mode = { disaggregation_mode: 'null', disaggregation_bootstrap_port: 8998 };
  expect(
    readSglangServerInfo({ ...mode, kv_events_config: '{"publisher":"zmq","endpoint":"tcp://gpu1:5557"}' }),
  ).toEqual({});
  for (const odd of [null, [], 'x', { kv_events_config: '{' }]) expect(readSglangServerInfo(odd)).toEqual({});
});

test('SGLang’s tokens by where they were found make the hit rate', () => {
  const sample = (mode: string, value: number) =>
    `sglang:prefill_effective_tokens_total{mode="${mode}",tp_rank="0"} ${value}\n`;
  const text =
    sample('input', 1000) + sample('device_hit', 300) + sample('host_hit', 100) + sample('storage_hit', 0);
  const [load] = readEngineLoads(parseExposition(`${text}sglang:cache_hit_rate{tp_rank="0"} 0\n`));
  expect(load).toMatchObject({ prefixHits: 400, prefixQueries: 1000, hitRate: 0.4 });
});
