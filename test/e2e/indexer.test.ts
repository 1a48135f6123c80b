import { afterEach, describe, expect, test } from 'vitest';
import { get, post } from '../support/json-service.ts';
import { BLOCK, computeUntil, Services } from '../support/services.ts';
import { eventually } from '../support/until.ts';

const TOKENS = Array.from({ length: 100 }, (_, i) => i + 1);
const FULL = 96;

const services = new Services();
afterEach(() => services.stopAll());
const start = (...args: string[]) => services.start(...args);
const startWorker = () => services.startWorker();

describe('kvasir indexer', () => {
  test('tells in tokens what workers hold, their ids up to 2^64 - 1', async () => {
    const [worker, indexer] = await Promise.all([startWorker(), start('indexer', '--port', '0')]);
    const biggest = '18446744073709551615';
    const registration = `{"instance_id":${biggest},"endpoint":"${worker.kvEvents}","model_name":"m","block_size":${BLOCK}}`;
    expect(await post(`${indexer.url}/register`, registration)).toEqual({
      status: 201,
      body: { status: 'ok' },
    });
    const query = (more: object = {}) =>
      post(`${indexer.url}/query`, { model_name: 'm', token_ids: TOKENS, ...more });
    let answer = await query();
    const isIndexed = async (): Promise<boolean> => {
      answer = await query();
      return answer.body.scores[biggest]?.['0'] === FULL;
    };
    await computeUntil(() => JSON.stringify(answer), isIndexed, worker.url, TOKENS);
    expect(answer.body).toEqual({
      scores: { [biggest]: { 0: FULL } },
      frequencies: [],
      instances: { [biggest]: { longest_matched: FULL, gpu: FULL, dp: { 0: FULL }, cpu: FULL, disk: FULL } },
    });
    expect((await query({ cache_salt: 'tenant' })).body.scores[biggest]['0']).toBe(0);
    expect((await query({ token_ids: [] })).body.scores).toEqual({});
    expect((await query({ model_name: 'other' })).status).toBe(404);
    const { body: workers } = await get(`${indexer.url}/workers?model_name=m`);
    expect(workers).toMatchObject([{ instance_id: BigInt(biggest), status: 'active', block_size: BLOCK }]);
    expect((await get(`${indexer.url}/workers?model_name=x`)).body).toEqual([]);
  });

  test('finds prompts by the hashes of a dump, and refuses to salt them', async () => {
    const [worker, indexer] = await Promise.all([startWorker(), start('indexer', '--port', '0')]);
    const registration = { instance_id: 1, endpoint: worker.kvEvents, model_name: 'm', block_size: BLOCK };
    await post(`${indexer.url}/register`, registration);
    const dumped = async () => (await get(`${indexer.url}/dump`)).body['m:default'];
    const isDumped = async (): Promise<boolean> => (await dumped()).events.length > 0;
    await computeUntil('something is in the dump', isDumped, worker.url, TOKENS);
    const { block_size, events } = await dumped();
    expect(block_size).toBe(BLOCK);
    const { blocks } = events[0].event.data.stored;
    const hashes = blocks.map((block: { tokens_hash: bigint }) =>
      BigInt.asIntN(64, BigInt(block.tokens_hash)),
    );
    const byHash = (salt: string) =>
      post(`${indexer.url}/query_by_hash`, `{"model_name":"m","block_hashes":[${hashes}]${salt}}`);
    expect((await byHash('')).body.scores).toEqual({ 1: { 0: BLOCK * hashes.length } });
    expect((await byHash(',"cache_salt":null')).status).toBe(200);
    expect((await byHash(',"cache_salt":""')).status).toBe(400);
  });

  test('starts with what a peer holds, before it knows any worker', async () => {
    const [worker, first] = await Promise.all([startWorker(), start('indexer', '--port', '0')]);
    const registration = { instance_id: 1, endpoint: worker.kvEvents, model_name: 'm', block_size: BLOCK };
    await post(`${first.url}/register`, registration);
    const scoreAt = async (url: string) =>
      (await post(`${url}/query`, { model_name: 'm', token_ids: TOKENS })).body.scores?.['1']?.['0'];
    await computeUntil('it is indexed', async () => (await scoreAt(first.url)) === FULL, worker.url, TOKENS);
    const second = await start('indexer', '--port', '0', '--peers', first.url);
    await eventually('it is taken over', async () => (await scoreAt(second.url)) === FULL);
    // Followed from here on, it loses nothing of it.
    await post(`${second.url}/register`, registration);
    await eventually('it still has it', async () => (await scoreAt(second.url)) === FULL);
    expect((await get(`${second.url}/peers`)).body).toEqual([first.url]);
  });

  test('says what is wrong with what it is told', async () => {
    const indexer = await start('indexer', '--port', '0');
    const worker = { instance_id: 1, endpoint: 'tcp://127.0.0.1:9', model_name: 'm', block_size: BLOCK };
    const register = (more: object) => post(`${indexer.url}/register`, { ...worker, ...more });
    expect((await register({})).status).toBe(201);
    const mismatch = await register({ instance_id: 2, block_size: 32 });
    expect(mismatch.status).toBe(409);
    expect(mismatch.body.error).toContain('have 16 tokens, not 32');
    expect((await register({ instance_id: -1 })).body.error).toContain('instance_id');
    expect((await post(`${indexer.url}/unregister`, { instance_id: 9, model_name: 'm' })).status).toBe(404);
    expect((await post(`${indexer.url}/unregister`, { instance_id: 1, model_name: 'm' })).status).toBe(200);
    expect((await get(`${indexer.url}/workers`)).body).toEqual([]);
    expect((await post(`${indexer.url}/register_peer`, { url: 'nonsense' })).status).toBe(400);
    expect((await post(`${indexer.url}/register`, '{')).status).toBe(400);
    const metrics = await (await fetch(`${indexer.url}/metrics`)).text();
    expect(metrics).toContain('dynamo_kvindexer_errors_total{endpoint="/register",status_class="4xx"} 3');
    expect(metrics).toContain('dynamo_kvindexer_workers 0');
  });

  test('keeps the blocks of a worker under the salt that it was registered with', async () => {
    const [worker, indexer] = await Promise.all([startWorker(), start('indexer', '--port', '0')]);
    const registration = { endpoint: worker.kvEvents, model_name: 'm', block_size: BLOCK };
    for (const told of [
      { instance_id: 1, additional_salt: 'tenant' },
      { instance_id: 2, additionalsalt: 'other' },
      { instance_id: 3, additional_salt: '' },
    ])
      expect((await post(`${indexer.url}/register`, { ...registration, ...told })).status).toBe(201);
    const holders = async (cache_salt?: string) => {
      const { body } = await post(`${indexer.url}/query`, { model_name: 'm', token_ids: TOKENS, cache_salt });
      return Object.entries<Record<string, number>>(body.scores)
        .filter(([, ranks]) => ranks[0] === FULL)
        .map(([id]) => id)
        .join();
    };
    const expected = [
      ['tenant', '1'],
      ['other', '2'],
      [undefined, '3'],
      ['third', ''],
    ] as const;
    const found = async (): Promise<string> =>
      JSON.stringify(await Promise.all(expected.map(([salt]) => holders(salt))));
    const wanted = JSON.stringify(expected.map(([, holder]) => holder));
    await computeUntil(`holders ${wanted}`, async () => (await found()) === wanted, worker.url, TOKENS);
  });
});
