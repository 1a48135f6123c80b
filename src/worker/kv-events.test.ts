import { afterEach, describe, expect, test } from 'vitest';
import {
  BLOCK,
  complete,
  hashesOf,
  metric,
  PROMPT,
  post,
  heldBlocks as snapshot,
  sorted,
  until,
  Workers,
} from '../../test/support/workers.ts';
import { SILENT_LOG } from '../base/log.ts';
import { fixedTiming } from '../engine/timing.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import { readSnapshot } from '../formats/kv-events/snapshot.ts';
import { BlockHasher } from '../kv/hash.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import type { PublishedBatch } from '../transport/event-source.ts';
import { HttpClient } from '../transport/http-client.ts';
import { zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import type { RunningWorker, WorkerOptions } from './start-worker.ts';

const tokenizer = new ByteTokenizer();
const workers = new Workers();
const stoppers: (() => Promise<void>)[] = [];
const start = (options?: WorkerOptions): Promise<RunningWorker> => workers.start(options);
afterEach(async () => {
  for (const stop of stoppers.splice(0)) await stop();
  await workers.stopAll();
});

/** Blocks by rank, as a consumer of the ZMQ stream keeps them. */
class Consumer {
  readonly blocks = new Set<bigint>();
  readonly seqs: number[] = [];
  readonly #decoder = new EventDecoder();

  take({ seq, payload }: PublishedBatch): void {
    this.seqs.push(seq);
    const batch = this.#decoder.decode(payload)!;
    for (const event of batch.events) {
      if (event.kind === 'stored') for (const hash of event.blockHashes) this.blocks.add(hash);
      if (event.kind === 'removed') for (const hash of event.blockHashes) this.blocks.delete(hash);
      if (event.kind === 'cleared') this.blocks.clear();
    }
  }
}

describe('the blocks that a worker tells of', () => {
  test('are those of its pool, hashed as the router hashes them', async () => {
    const { url } = await start();
    const seen: bigint[] = [];
    const { body } = await complete(url, { prompt: PROMPT, max_tokens: 100 });
    const [rank] = readSnapshot(await (await fetch(`${url}/kv/snapshot`)).json(), url);
    const tokens = tokenizer.encode(PROMPT + body.choices[0].text);
    const full = Math.floor((tokens.length - 1) / BLOCK);
    const expected = new BlockHasher().hashPrompt(tokens.subarray(0, full * BLOCK), BLOCK);
    for (const event of rank!.events) if (event.kind === 'stored') seen.push(...event.blockHashes);
    expect(seen).toEqual([...expected.sequence]);
    expect(rank!.lastSeq).toBeGreaterThan(0);
  });

  test('are what its events on ZMQ add up to, evictions included, at every moment', async () => {
    const free = 'tcp://127.0.0.1:0';
    const worker = await start({ kvEvents: free, replay: free, engine: { numGpuBlocks: 24, dpSize: 2 } });
    const { url } = worker;
    const client = new HttpClient();
    stoppers.push(() => client.stop());
    const instance = await describeEngine(client, { url }, '1', { timeoutMs: 5000 });
    const consumers = zmqEventSources(instance, { client, log: SILENT_LOG }).map((source) => ({
      source,
      live: new Consumer(),
    }));
    for (const { source, live } of consumers) {
      stoppers.push(() => source.stop());
      await source.start({ batch: (batch) => live.take(batch) });
    }
    const inProcess: number[] = [];
    const end = worker.engineEvents((batch) => inProcess.push(batch.dpRank!));
    const prompts = Array.from({ length: 30 }, (_, i) => `${i % 7} ${PROMPT}`.slice(0, 40 + 3 * i));
    await Promise.all(prompts.map((prompt) => complete(url, { prompt, max_tokens: 20 })));
    // Taken while passes run, a snapshot still belongs to a batch.
    const working = complete(url, { prompt: PROMPT, max_tokens: 150 });
    for (let i = 0; i < 5; i++) {
      for (const { source } of consumers) {
        const held = (await source.snapshot())!;
        const upTo = new Consumer();
        await source.replay(0, (batch) => {
          if (batch.seq <= held.lastSeq) upTo.take(batch);
        });
        expect(sorted(upTo.blocks)).toEqual(hashesOf(held.events));
        expect(upTo.seqs).toEqual(Array.from({ length: held.lastSeq + 1 }, (_, seq) => seq));
      }
    }
    await working;
    end();
    const final = await snapshot(url);
    expect(final.every(({ hashes }) => hashes.length > 10 && hashes.length <= 24)).toBe(true);
    expect(new Set(inProcess)).toEqual(new Set([0, 1]));
    for (const [rank, { live }] of consumers.entries()) {
      await until(() => live.seqs.at(-1) === final[rank]!.lastSeq);
      expect(inProcess.filter((batchRank) => batchRank === rank)).toHaveLength(final[rank]!.lastSeq + 1);
    }
  });

  test('are gone after a reset of the prefix cache, which waits for nobody', async () => {
    const worker = await start({ engine: { timing: fixedTiming(1, 5) } });
    const { url } = worker;
    const kinds: string[] = [];
    worker.engineEvents(({ events }) => kinds.push(...events.map(({ kind }) => kind)));
    await complete(url, { prompt: PROMPT, max_tokens: 1 });
    expect((await snapshot(url))[0]?.hashes).toHaveLength(5);
    const reset = async (): Promise<unknown> =>
      (await fetch(`${url}/reset_prefix_cache`, { method: 'POST' })).json();
    const leave = new AbortController();
    const body = { model: 'm', prompt: PROMPT, max_tokens: 5000 };
    const working = post(url, '/v1/completions', body, { signal: leave.signal });
    await until(async () => (await metric(url, /^vllm:num_requests_running/)) === 1);
    expect(await reset()).toEqual({ success: false });
    leave.abort();
    await expect(working).rejects.toThrow();
    await until(async () => ((await reset()) as { success: boolean }).success);
    expect(await snapshot(url)).toEqual([{ lastSeq: kinds.length - 1, hashes: [] }]);
    expect(kinds.at(-1)).toBe('cleared');
    const after = await complete(url, { prompt: PROMPT, max_tokens: 1 });
    expect(after.body.usage.prompt_tokens_details.cached_tokens).toBe(0);
  });

  test('are of the rank that a request was pinned to', async () => {
    const { url } = await start({ engine: { dpSize: 3 } });
    const headers = { 'x-data-parallel-rank': '2' };
    await post(url, '/v1/completions', { model: 'm', prompt: PROMPT, max_tokens: 1 }, { headers });
    expect((await snapshot(url)).map(({ hashes }) => hashes.length)).toEqual([0, 0, 5]);
    const other = await complete(url, { prompt: PROMPT, max_tokens: 1, nvext: { dp_rank: 1 } });
    expect(other.body.usage.prompt_tokens_details.cached_tokens).toBe(0);
    const one = (await (await fetch(`${url}/kv/snapshot?dp_rank=2`)).json()) as { ranks: object[] };
    expect(one.ranks).toMatchObject([{ dp_rank: 2 }]);
    expect((await fetch(`${url}/kv/snapshot?dp_rank=3`)).status).toBe(400);
    expect(
      (
        await post(
          url,
          '/v1/completions',
          { model: 'm', prompt: 'x' },
          { headers: { 'x-data-parallel-rank': 'a' } },
        )
      ).status,
    ).toBe(400);
  });
});
