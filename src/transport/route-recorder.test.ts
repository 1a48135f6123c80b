import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { VirtualClock } from '../base/clock.ts';
import { SILENT_LOG } from '../base/log.ts';
import { HttpClient } from './http-client.ts';
import { RouteRecorder } from './route-recorder.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(statuses: number[] = []) {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    bodies.push(Buffer.concat(pieces).toString());
    response.writeHead(statuses.shift() ?? 200).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new HttpClient();
  const clock = new VirtualClock();
  const state = { lost: 0 };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const onLost = (count: number): void => {
    state.lost += count;
  };
  const recorder = new RouteRecorder({ url, client, clock, log: SILENT_LOG, onLost });
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  cleanups.push(
    () => client.stop(),
    () => recorder.stop(),
  );
  const record = (worker: string, ...hashes: bigint[]) =>
    recorder.record('m "x"', { workerId: worker, dpRank: 1 }, BigUint64Array.from(hashes), 500);
  return { recorder, record, clock, bodies, state };
}

describe('decisions for an index elsewhere', () => {
  test('go out together, to the last digit', async () => {
    const { record, clock, bodies, state } = await setUp();
    record('18446744073709551615', 2n ** 64n - 1n, 7n);
    record('3', 5n);
    record('4');
    clock.advanceTo(2);
    await until(() => bodies.length === 1);
    const place = '{"model_name":"m \\"x\\"","worker_id":';
    expect(bodies).toEqual([
      `{"decisions":[${place}18446744073709551615,"dp_rank":1,"ttl_ms":500,"sequence_hashes":[18446744073709551615,7]},` +
        `${place}3,"dp_rank":1,"ttl_ms":500,"sequence_hashes":[5]}]}`,
    ]);
    expect(state.lost).toBe(0);
  });

  test('go in messages of 64, and are counted where they do not arrive', async () => {
    const { record, clock, bodies, state } = await setUp([200, 500, 200]);
    for (let i = 0; i < 150; i++) record('1', BigInt(i));
    clock.advanceTo(2);
    await until(() => bodies.length === 3);
    expect(bodies.map((body) => JSON.parse(body).decisions.length)).toEqual([64, 64, 22]);
    await until(() => state.lost === 64);
  });

  test('are lost beyond what may wait, and none goes out after the end', async () => {
    const { recorder, record, clock, bodies, state } = await setUp();
    for (let i = 0; i < 1030; i++) record('1', BigInt(i));
    expect(state.lost).toBe(6);
    recorder.stop();
    clock.advanceTo(10);
    record('1', 9n);
    expect(bodies).toEqual([]);
  });
});
