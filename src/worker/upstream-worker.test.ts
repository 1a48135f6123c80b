import { afterEach, describe, expect, test } from 'vitest';
import { OpenAiEngine } from '../../test/support/openai-engine.ts';
import { complete, metric, PROMPT, stream, until, Workers } from '../../test/support/workers.ts';
import { SILENT_LOG } from '../base/log.ts';
import { fixedTiming } from '../engine/timing.ts';
import { EventEncoder } from '../formats/kv-events/event-encoder.ts';
import { readSnapshot } from '../formats/kv-events/snapshot.ts';
import { readModelList } from '../formats/openai/model-card.ts';
import { freePort } from '../transport/free-port.ts';
import { ZmqPublisher } from '../transport/zmq/zmq-publisher.ts';
import { startUpstreamWorker, type UpstreamWorker, type UpstreamWorkerOptions } from './upstream-worker.ts';

const engines = new Workers();
const started: UpstreamWorker[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop(0)));
  await engines.stopAll();
});

async function inFrontOf(
  engine: string,
  options: Partial<UpstreamWorkerOptions> = {},
): Promise<UpstreamWorker> {
  const worker = await startUpstreamWorker({
    engine,
    host: '127.0.0.1',
    httpPort: 0,
    systemPort: 0,
    systemHost: '127.0.0.1',
    namespace: 'my-ns',
    component: 'backend',
    endpoint: 'generate',
    role: 'both',
    ...options,
  });
  started.push(worker);
  return worker;
}

describe('a worker in front of a running engine', () => {
  test('passes answers on unchanged, whole and streamed, refusals too', async () => {
    const engine = await engines.start();
    const { url } = await inFrontOf(engine.url);
    const direct = await complete(engine.url, { prompt: PROMPT, max_tokens: 30 });
    const relayed = await complete(url, { prompt: PROMPT, max_tokens: 30 });
    expect(relayed.body.choices).toEqual(direct.body.choices);
    const events = await stream(url, '/v1/completions', { prompt: PROMPT, max_tokens: 30 });
    const text = events
      .slice(0, -1)
      .map((event) => JSON.parse(event).choices[0].text)
      .join('');
    expect(text).toBe(direct.body.choices[0].text);
    expect((await complete(url, { prompt: 'x', max_tokens: -1 })).status).toBe(400);
    expect(await (await fetch(`${url}/version`)).json()).toEqual({ version: '0.1.0' });
  });

  test('tells what the engine is, and where its events are', async () => {
    const engine = await engines.start({ kvEvents: 'tcp://127.0.0.1:0', engine: { dpSize: 2 } });
    const worker = await inFrontOf(engine.url, { replay: 'tcp://127.0.0.1:6557' });
    const [card] = readModelList(await (await fetch(`${worker.url}/v1/models`)).json());
    expect(card).toMatchObject({ id: 'm', contextLength: 8192 });
    expect(card?.engine).toEqual({
      blockSize: 16,
      dpSize: 2,
      role: 'both',
      kvEvents: engine.kvEvents,
      replay: 'tcp://127.0.0.1:6557',
      snapshot: `${engine.url}/kv/snapshot`,
      totalKvBlocks: 512,
      tokenizer: 'byte',
    });
    expect([worker.kvEvents, worker.model]).toEqual([engine.kvEvents, 'm']);
  });

  test('tells what an engine holds that cannot tell itself', async () => {
    const engine = await new OpenAiEngine().start();
    const address = 'tcp://127.0.0.1:0';
    const publisher = new ZmqPublisher({
      endpoint: `bind+${address}`,
      flag: '--kv-events',
      replayEndpoint: `bind+${address}`,
      replayFlag: '--replay',
      topic: '',
      log: SILENT_LOG,
    });
    await publisher.start();
    const encoder = new EventEncoder('vllm-0.24');
    const store = (parentHash: bigint | undefined, hash: bigint): void => {
      const blocks = { blockHashes: BigUint64Array.of(hash), tokenIds: Uint32Array.of(1, 2), blockSize: 2 };
      const event = { kind: 'stored', parentHash, ...blocks, medium: 'GPU' } as const;
      publisher.publish(encoder.encode({ timestampS: Date.now() / 1000, dpRank: 0, events: [event] }));
    };
    store(undefined, 7n);
    try {
      const { endpoint: kvEvents, replayEndpoint: replay } = publisher;
      const worker = await inFrontOf(engine.url, { kvEvents, replay });
      const snapshot = async (rank = 0) => {
        const answer = await fetch(`${worker.url}/kv/snapshot?dp_rank=${rank}`);
        return { status: answer.status, body: (await answer.json()) as unknown };
      };
      await until(async () => (await snapshot()).status === 200);
      store(7n, 8n);
      await until(async () => readSnapshot((await snapshot()).body, 'x')[0]!.lastSeq === 1);
      const [held] = readSnapshot((await snapshot()).body, worker.url);
      expect(held?.events).toMatchObject([
        {
          blockHashes: BigUint64Array.of(7n, 8n),
          parentHash: undefined,
          tokenIds: Uint32Array.of(1, 2, 1, 2),
        },
      ]);
      expect((await snapshot(1)).status).toBe(404);
      const [card] = readModelList(await (await fetch(`${worker.url}/v1/models`)).json());
      expect(card?.engine).toMatchObject({ kvEvents, replay, snapshot: '/kv/snapshot' });
    } finally {
      await publisher.stop();
      await engine.stop();
    }
  });

  test('shows the engine’s load as a Dynamo worker, and its own metrics behind', async () => {
    const engine = await engines.start({ namespace: 'other', engine: { timing: fixedTiming(1, 10) } });
    const { url, systemUrl } = await inFrontOf(engine.url);
    await complete(url, { prompt: PROMPT, max_tokens: 1 });
    expect(await metric(systemUrl!, /^dynamo_component_kvstats_total_blocks/)).toBe(512);
    await complete(url, { prompt: PROMPT, max_tokens: 1 });
    expect(await metric(systemUrl!, /^dynamo_component_kvstats_gpu_prefix_cache_hit_rate/)).toBeCloseTo(
      80 / 86,
    );
    const leave = new AbortController();
    const body = { model: 'm', prompt: PROMPT, max_tokens: 5000, stream: true };
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: leave.signal,
    });
    await until(async () => (await metric(systemUrl!, /^dynamo_component_kvstats_active_blocks/))! > 0);
    expect(await metric(systemUrl!, /^dynamo_component_inflight_requests\{.*dynamo_namespace="my_ns"/)).toBe(
      1,
    );
    // The engine's own labels win over those of the worker before it.
    expect(await metric(systemUrl!, /^vllm:num_requests_running\{.*dynamo_namespace="other"/)).toBe(1);
    leave.abort();
    await expect(response.text()).rejects.toThrow();
    await until(async () => (await metric(systemUrl!, /^vllm:num_requests_running/)) === 0);
    expect(await metric(systemUrl!, /^dynamo_component_cancellation_total/)).toBe(1);
    expect(await metric(systemUrl!, /^dynamo_component_requests_total/)).toBe(3);
  });

  test('waits for an engine that is not there yet, and tells when it is gone', async () => {
    const httpPort = await freePort();
    const waiting = inFrontOf(`http://127.0.0.1:${httpPort}`);
    const engine = await engines.start({ httpPort, engine: { timing: fixedTiming(1, 20) } });
    const { url, systemUrl } = await waiting;
    expect((await fetch(`${systemUrl}/health`)).status).toBe(200);
    const events = stream(url, '/v1/completions', { prompt: 'x', max_tokens: 5000 });
    await until(async () => (await metric(url, /^vllm:generation_tokens_total/))! > 2);
    await engine.stop(0);
    const last = (await events).slice(-2);
    expect([JSON.parse(last[0]!).error.code, last[1]]).toEqual([503, '[DONE]']);
    const refused = await complete(url, { prompt: 'x' });
    expect([refused.status, refused.body.error.message]).toEqual([
      503,
      `engine http://127.0.0.1:${httpPort} cannot be reached: connection refused. Check that it runs and that the address is right.`,
    ]);
    await until(async () => (await fetch(`${systemUrl}/health`)).status === 503);
    expect((await fetch(`${systemUrl}/live`)).status).toBe(200);
    expect((await fetch(`${systemUrl}/metrics`)).status).toBe(200);
  });
});
