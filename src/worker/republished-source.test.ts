import { afterEach, expect, test } from 'vitest';
import { startPulledEngine } from '../../test/support/pulled-engine.ts';
import { until } from '../../test/support/workers.ts';
import { SILENT_LOG } from '../base/log.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import { bareInstance } from '../transport/discovery.ts';
import { HttpClient } from '../transport/http-client.ts';
import { zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import { startUpstreamWorker } from './upstream-worker.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('a worker publishes for all what its engine hands out once, its losses and restarts too', async () => {
  const engine = await startPulledEngine();
  cleanups.push(engine.stop);
  engine.queue.push(engine.created, engine.stored(1, 'null', '11', [1, 2, 3, 4]));
  const worker = await startUpstreamWorker({
    engine: `${engine.url},kv-events=pull,block-size=4`,
    host: '127.0.0.1',
    httpPort: 0,
    systemPort: undefined,
    systemHost: '127.0.0.1',
    namespace: 'dynamo',
    component: 'backend',
    endpoint: 'generate',
    role: 'both',
    replay: 'tcp://127.0.0.1:0',
  });
  cleanups.push(() => worker.stop(0));
  expect(worker.kvEvents).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
  const snapshot = async () => (await fetch(`${worker.url}/kv/snapshot`)).json();
  await until(async () => JSON.stringify(await snapshot()).includes('"11"'));
  // Two that listen, and one that asks for what it missed: all have the same.
  const client = new HttpClient();
  cleanups.push(() => client.stop());
  const decoder = new EventDecoder();
  const seen: Map<number, string>[] = [];
  for (let i = 0; i < 2; i++) {
    const instance = { ...bareInstance('1', worker.url), kvEvents: worker.kvEvents, replay: worker.replay };
    const [source] = zmqEventSources(instance, { client, log: SILENT_LOG });
    const batches = new Map<number, string>();
    seen.push(batches);
    const take = ({ seq, payload }: { seq: number; payload: Uint8Array }): void =>
      void batches.set(
        seq,
        decoder
          .decode(payload)!
          .events.map(({ kind }) => kind)
          .join(),
      );
    let connected = false;
    await source!.start({
      batch: take,
      connected: () => {
        connected = true;
      },
    });
    cleanups.push(() => source!.stop());
    await until(() => connected);
    expect((await source!.replay(0, take)).end).toBe('complete');
  }
  engine.queue.push(engine.stored(2, '11', '12', [5, 6, 7, 8]));
  await until(() => seen.every((batches) => batches.size === 2));
  engine.queue.push(engine.stored(5, '12', '13', [9, 9, 9, 9]));
  await until(() => seen.every((batches) => batches.has(3)));
  // Something is lost: what is held is no longer known.
  expect((await fetch(`${worker.url}/kv/snapshot`)).status).toBe(404);
  engine.queue.push(engine.created, engine.stored(1, 'null', '77', [1, 1, 1, 1]));
  await until(() => seen.every((batches) => batches.has(5)));
  for (const batches of seen)
    expect([...batches]).toEqual([
      [0, 'stored'],
      [1, 'stored'],
      [3, 'stored'],
      [4, 'cleared'],
      [5, 'stored'],
    ]);
  await until(async () => JSON.stringify(await snapshot()).includes('"77"'));
});
