import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SILENT_LOG } from '../base/log.ts';
import { HttpClient } from './http-client.ts';
import { RemoteIndexer } from './remote-indexer.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(answer: (body: string, response: ServerResponse) => void) {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => {
      body += piece;
    });
    request.on('end', () => answer(body, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new HttpClient();
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  cleanups.push(() => client.stop());
  const clock = new VirtualClock();
  const state = { failures: 0 };
  const onFailure = (): void => {
    state.failures++;
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const indexer = new RemoteIndexer({ url, client, clock, log: SILENT_LOG, timeoutMs: 40, onFailure });
  return { indexer, clock, state };
}

const QUESTION = { model: 'm "x"', blockSize: 4, blockHashes: BigUint64Array.of(2n ** 64n - 1n, 7n) };

test('hashes go out to the last digit, tokens come back as blocks of each rank', async () => {
  const bodies: string[] = [];
  const { indexer } = await setUp((body, response) => {
    bodies.push(body);
    const two = { longest_matched: 12, gpu: 8, dp: { 0: 8, 1: 4 }, cpu: 12, disk: 12 };
    response.end(
      JSON.stringify({
        instances: { '18446744073709551615': two, 2: { gpu: 0, dp: { 0: 0 }, cpu: 0, disk: 0 } },
      }),
    );
  });
  const held = await indexer.lookUp(QUESTION);
  expect(bodies).toEqual(['{"model_name":"m \\"x\\"","block_hashes":[18446744073709551615,7]}']);
  const of = (workerId: string, dpRank: number) =>
    held?.find(({ worker }) => worker.workerId === workerId && worker.dpRank === dpRank);
  expect(of('18446744073709551615', 0)).toMatchObject({
    deviceBlocks: 2,
    hostPinnedBlocks: 1,
    diskBlocks: 0,
  });
  expect(of('18446744073709551615', 1)).toMatchObject({ deviceBlocks: 1, hostPinnedBlocks: 0 });
  expect(of('2', 0)).toMatchObject({ deviceBlocks: 0 });
  expect(await indexer.lookUp({ ...QUESTION, blockHashes: new BigUint64Array() })).toEqual([]);
  expect(bodies).toHaveLength(1);
});

test('one that is silent or odd costs its deadline three times, and then nothing for a second', async () => {
  let asked = 0;
  let mend = false;
  const { indexer, clock, state } = await setUp((_body, response) => {
    asked++;
    if (mend) response.end('{"instances":{}}');
    else if (asked === 2) response.end('not JSON');
  });
  for (let i = 0; i < 5; i++) expect(await indexer.lookUp(QUESTION)).toBeUndefined();
  expect([asked, state.failures]).toEqual([3, 3]);
  mend = true;
  clock.advanceTo(1000);
  expect(await indexer.lookUp(QUESTION)).toEqual([]);
  expect([asked, state.failures]).toEqual([4, 3]);
});

test('a model that it does not know yet is no failure', async () => {
  const { indexer, state } = await setUp((_body, response) => response.writeHead(404).end('{}'));
  expect([await indexer.lookUp(QUESTION), state.failures]).toEqual([[], 0]);
});
