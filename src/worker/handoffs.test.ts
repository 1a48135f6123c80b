import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { complete, metric, PROMPT, until, Workers } from '../../test/support/workers.ts';
import { fixedTiming } from '../engine/timing.ts';
import { readModelList } from '../formats/openai/model-card.ts';
import { freePort } from '../transport/free-port.ts';

const workers = new Workers();
afterEach(() => workers.stopAll());

describe('disaggregated serving', () => {
  test('hands a prompt over: the source says where it is, the destination waits for it', async () => {
    const golden = JSON.parse(
      readFileSync(new URL('../../test/golden/engine/pd-handoff.json', import.meta.url), 'utf8'),
    );
    const timing = fixedTiming(80, 1);
    const transfer = { kvBytesPerToken: 1e6, bandwidthGBps: 1 };
    const source = await workers.start({ role: 'prefill', engine: { workerType: 'prefill', timing } });
    const destination = await workers.start({
      role: 'decode',
      systemPort: 0,
      engine: { workerType: 'decode', timing, transfer },
    });
    const prompt = PROMPT.slice(0, 40);
    const prefill = await complete(source.url, { ...golden.prefill_request, prompt });
    const params = prefill.body.kv_transfer_params;
    const expected = golden.prefill_response_excerpt.kv_transfer_params;
    expect(Object.keys(params)).toEqual(Object.keys(expected));
    expect(params).toMatchObject({
      do_remote_prefill: true,
      do_remote_decode: false,
      remote_block_ids: [[1, 2, 3]],
      remote_num_tokens: 40,
    });
    const request = { prompt, max_tokens: 3, kv_transfer_params: params };
    const startMs = performance.now();
    const decode = await complete(destination.url, request);
    // 40 tokens of 1 MB at 1 GB/s.
    expect(performance.now() - startMs).toBeGreaterThan(39);
    expect(decode.body.usage).toMatchObject({ prompt_tokens: 40, completion_tokens: 3 });
    expect(decode.body.kv_transfer_params).toBeUndefined();
    expect(await metric(destination.url, /^vllm:request_prefill_time_seconds_sum/)).toBeLessThan(0.02);
    const nixl = (name: string): Promise<number | undefined> =>
      metric(destination.systemUrl!, new RegExp(`^vllm:nixl_${name}\\{`));
    expect(await nixl('bytes_transferred_sum')).toBe(40e6);
    expect(await nixl('num_descriptors_sum')).toBe(3);
    expect(await nixl('xfer_time_seconds_sum')).toBeCloseTo(0.04, 9);
    expect(await nixl('xfer_time_seconds_count')).toBe(1);
    // The one that prefills fetches nothing; its series are there all the same.
    expect(await metric(source.url, /^vllm:nixl_xfer_time_seconds_count\{/)).toBe(0);
    // Each is given once.
    const again = await complete(destination.url, request);
    expect([again.status, again.body.error.message]).toEqual([
      500,
      expect.stringContaining('it answered 404'),
    ]);
    expect(await nixl('num_failed_transfers_total')).toBe(1);
    const several = await complete(source.url, { ...golden.prefill_request, prompt, n: 2 });
    expect(several.body.kv_transfer_params).toBeUndefined();
  });

  test('computes a prompt anew whose KV is not to be had, if that is the policy, or nobody said where', async () => {
    const lost = {
      do_remote_prefill: true,
      remote_engine_id: 'x',
      remote_request_id: 'y',
      remote_host: '127.0.0.1',
      remote_port: await freePort(),
    };
    const ask = (url: string, kv_transfer_params: object) =>
      complete(url, { prompt: PROMPT, max_tokens: 1, kv_transfer_params });
    const strict = await workers.start({ role: 'decode' });
    expect((await ask(strict.url, lost)).status).toBe(500);
    expect((await ask(strict.url, { do_remote_prefill: true })).status).toBe(200);
    const lenient = await workers.start({ role: 'decode', kvLoadFailurePolicy: 'recompute' });
    expect((await ask(lenient.url, lost)).status).toBe(200);
    for (const { url } of [strict, lenient])
      expect(await metric(url, /^vllm:nixl_num_failed_transfers_total\{/)).toBe(1);
  });

  test('of SGLang insists on a room, where both sides meet', async () => {
    const engine = { backend: 'sglang', blockSize: 1 } as const;
    const prefill = await workers.start({ role: 'prefill', engine: { ...engine, workerType: 'prefill' } });
    const decode = await workers.start({ role: 'decode', engine: { ...engine, workerType: 'decode' } });
    for (const { url } of [prefill, decode]) {
      const { status, body } = await complete(url, { prompt: PROMPT, max_tokens: 3 });
      expect([status, body.error.param]).toEqual([400, 'bootstrap_room']);
    }
    const [card] = readModelList(await (await fetch(`${prefill.url}/v1/models`)).json());
    const { hostname, port } = new URL(prefill.url);
    expect(card?.engine?.bootstrapPort).toBe(Number(port));
    const room = { bootstrap_host: hostname, bootstrap_port: Number(port), bootstrap_room: 2 ** 50 };
    const body = { prompt: PROMPT, max_tokens: 3, ...room };
    const [first, second] = await Promise.all([complete(decode.url, body), complete(prefill.url, body)]);
    expect([first.status, first.body.usage.completion_tokens]).toEqual([200, 3]);
    expect([second.status, second.body.usage.completion_tokens]).toEqual([200, 1]);
  });

  test('leaves a failed transfer where the client goes while its KV is under way', async () => {
    const transfer = { kvBytesPerToken: 1e9, bandwidthGBps: 1 };
    const source = await workers.start({ role: 'prefill' });
    const { url } = await workers.start({ role: 'decode', engine: { transfer } });
    const prefill = await complete(source.url, {
      prompt: PROMPT,
      max_tokens: 1,
      kv_transfer_params: { do_remote_decode: true },
    });
    const { kv_transfer_params } = prefill.body;
    const leave = new AbortController();
    const body = { model: 'm', prompt: PROMPT, kv_transfer_params };
    const gone = fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leave.signal,
    });
    const arrived = /^dynamo_component_requests_total\{|^dynamo_component_inflight_requests\{/;
    await until(async () => ((await metric(url, arrived)) ?? 0) > 0);
    leave.abort();
    await expect(gone).rejects.toThrow();
    const failed = /^kvasir_kv_connector_failures_total\{.*kind="transfer"/;
    await until(async () => (await metric(url, failed)) === 1);
    expect(await metric(url, /^vllm:nixl_num_failed_transfers_total\{/)).toBe(1);
    expect(await metric(url, /^vllm:nixl_xfer_time_seconds_count\{/)).toBe(0);
  });
});
