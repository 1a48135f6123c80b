import { afterEach, describe, expect, test } from 'vitest';
import { BLOCK, complete, metric, Workers } from '../../test/support/workers.ts';
import { type Log, SILENT_LOG } from '../base/log.ts';
import { fixedTiming } from '../engine/timing.ts';
import type { DialectName } from '../formats/kv-events/dialects.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import { readSnapshot } from '../formats/kv-events/snapshot.ts';
import type { WorkerOptions } from './start-worker.ts';

const workers = new Workers();
afterEach(() => workers.stopAll());

/** Two prompts of four blocks each; a device of five keeps one of them. */
const PROMPTS = ['a', 'b'].map((letter) => letter.repeat(4 * BLOCK + 1));

const offloading = (options: WorkerOptions = {}): WorkerOptions => ({
  ...options,
  engine: {
    blockSize: BLOCK,
    numGpuBlocks: 5,
    timing: fixedTiming(2, 1),
    transfer: { kvBytesPerToken: 1000 },
    offload: { hostBlocks: 100 },
    ...options.engine,
  },
});

/** The value of a family's series with a label, or of its first one. */
const sample = (url: string, name: string, label = ''): Promise<number | undefined> =>
  metric(url, new RegExp(`^${name}{.*${label}`));

async function serve(url: string, ...prompts: readonly string[]): Promise<number[]> {
  const cached: number[] = [];
  for (const prompt of prompts) {
    const { body } = await complete(url, { prompt, max_tokens: 1 });
    cached.push(body.usage.prompt_tokens_details?.cached_tokens ?? 0);
  }
  return cached;
}

describe('a worker with host memory', () => {
  test('finds there what its device has lost, tells of it, and shows it as vLLM does', async () => {
    const lines: string[] = [];
    const log: Log = { ...SILENT_LOG, info: (_facts: object, message: string) => void lines.push(message) };
    const worker = await workers.start(offloading({ log }));
    const [a, b] = PROMPTS as [string, string];
    expect(await serve(worker.url, a, b, a)).toEqual([0, 0, 4 * BLOCK]);
    const { url } = worker;
    const tokens = 4 * BLOCK;
    expect(await sample(url, 'vllm:external_prefix_cache_hits_total')).toBe(tokens);
    expect(await sample(url, 'vllm:external_prefix_cache_queries_total')).toBe(3 * (tokens + 1));
    expect(await sample(url, 'vllm:prefix_cache_hits_total')).toBe(0);
    const source = (name: string) => sample(url, 'vllm:prompt_tokens_by_source_total', `source="${name}"`);
    expect(await source('external_kv_transfer')).toBe(tokens);
    expect(await source('local_compute')).toBe(2 * tokens + 3);
    const loaded = 'transfer_type="CPU_to_GPU"';
    expect(await sample(url, 'vllm:kv_offload_total_bytes_total', loaded)).toBe(tokens * 1000);
    expect(await sample(url, 'vllm:kv_offload_size_count', loaded)).toBe(1);
    const [rank] = readSnapshot(await (await fetch(`${worker.url}/kv/snapshot`)).json(), worker.url);
    const held = new Map<string, number>();
    for (const event of rank!.events)
      if (event.kind === 'stored')
        held.set(event.medium!, (held.get(event.medium!) ?? 0) + event.blockHashes.length);
    expect(Object.fromEntries(held)).toEqual({ GPU: 4, CPU: 8 });
    await worker.stop();
    expect(lines.find((line) => line.startsWith('KV Transfer metrics: '))).toMatch(
      /GPU_to_CPU_total_bytes=\d+, GPU_to_CPU_total_time=[\d.e-]+, CPU_to_GPU_total_bytes=\d+, CPU_to_GPU_total_time=/,
    );
  });

  test.each<[DialectName, 'described' | 'named' | undefined]>([
    ['kvasir', 'described'],
    ['vllm-0.26', 'described'],
    ['sglang-map', 'described'],
    ['vllm-0.21', 'named'],
    ['vllm-0.9', undefined],
    ['trtllm', undefined],
  ])('tells of it in dialect %s: %s', async (kvEventsDialect, form) => {
    const worker = await workers.start(offloading({ kvEventsDialect }));
    const decoder = new EventDecoder();
    const below: { kind: string; blocks: number; tokens: number; parent: boolean }[] = [];
    const end = worker.encodedEvents(0, (payload) => {
      for (const event of decoder.decode(payload)!.events) {
        if (event.kind !== 'stored' || event.medium !== 'CPU') continue;
        const { kind, blockHashes, tokenIds, parentHash } = event;
        const parent = parentHash !== undefined;
        below.push({ kind, blocks: blockHashes.length, tokens: tokenIds.length, parent });
      }
    });
    await serve(worker.url, ...PROMPTS);
    end();
    const blocks = below.reduce((sum, each) => sum + each.blocks, 0);
    expect(blocks).toBe(form === undefined ? 0 : 4);
    for (const each of below) {
      expect(each.tokens).toBe(form === 'described' ? each.blocks * BLOCK : 0);
      if (form === 'named') expect(each).toMatchObject({ blocks: 1, parent: false });
    }
  });

  test('that hands prompts over too has both connectors behind one, as in vLLM', async () => {
    const worker = await workers.start(offloading({ role: 'prefill' }));
    const transfers = (connector: string) =>
      sample(worker.url, 'kvasir_kv_connector_transfers_total', `connector="${connector}"`);
    expect(await transfers('MultiConnector')).toBe(0);
  });

  test('of SGLang counts it as its hierarchical cache', async () => {
    const worker = await workers.start(offloading({ engine: { backend: 'sglang', numGpuBlocks: 7 } }));
    const [a, b] = PROMPTS as [string, string];
    await serve(worker.url, a, b, a);
    const cached = (source: string) =>
      sample(worker.url, 'sglang:cached_tokens_total', `cache_source="${source}"`);
    expect((await cached('host'))! + (await cached('device'))!).toBe(4 * BLOCK);
    expect(await cached('host')).toBeGreaterThan(0);
    expect(await sample(worker.url, 'sglang:hicache_host_total_tokens')).toBe(100 * BLOCK);
    expect(await sample(worker.url, 'sglang:hicache_host_used_tokens')).toBeGreaterThan(0);
  });
});
