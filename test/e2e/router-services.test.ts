import { afterEach, describe, expect, test } from 'vitest';
import { ask, get, post } from '../support/json-service.ts';
import { BLOCK, computeUntil, Services } from '../support/services.ts';
import { eventually } from '../support/until.ts';

const TOKENS = Array.from({ length: 100 }, (_, i) => i + 1);
const FULL = 96;

const services = new Services();
afterEach(() => services.stopAll());
const start = (...args: string[]) => services.start(...args);
const startWorker = () => services.startWorker();

describe('kvasir slot-tracker', () => {
  test('keeps account of what is told of requests', async () => {
    const { url, process } = await start('slot-tracker', '--port', '0');
    const at = (path: string, body: object) => post(`${url}${path}`, { model_name: 'm', ...body });
    const worker = { worker_id: 1, block_size: BLOCK, dp_start: 0, dp_size: 2 };
    expect((await at('/register', worker)).status).toBe(201);
    expect((await at('/register', worker)).status).toBe(409);
    const request = { request_id: 'a', worker_id: 1, dp_rank: 1, new_isl_tokens: 40 };
    const add = (more: object, hashes: string) => {
      const body = JSON.stringify({ model_name: 'm', ...request, ...more });
      return post(`${url}/add`, `${body.slice(0, -1)},"sequence_hashes":${hashes}}`);
    };
    expect((await add({}, '[-1, 9223372036854775807]')).status).toBe(201);
    expect((await add({}, '[1]')).status).toBe(409);
    expect((await add({ request_id: 'b', dp_rank: 7 }, '[1]')).status).toBe(404);
    expect((await get(`${url}/loads`)).body).toMatchObject([
      { worker_id: 1, dp_rank: 0, active_prefill_tokens: 0, active_decode_blocks: 0 },
      { worker_id: 1, dp_rank: 1, active_prefill_tokens: 40, active_decode_blocks: 2 },
    ]);
    const potential = await post(
      `${url}/potential_loads`,
      '{"model_name":"m","sequence_hashes":[-1,5],"new_isl_tokens":10}',
    );
    expect(potential.body).toEqual([
      {
        worker_id: 1,
        dp_rank: 0,
        potential_prefill_tokens: 10,
        potential_decode_blocks: 2,
        active_requests: 0,
      },
      {
        worker_id: 1,
        dp_rank: 1,
        potential_prefill_tokens: 50,
        potential_decode_blocks: 3,
        active_requests: 1,
      },
    ]);
    expect((await at('/prefill_complete', { request_id: 'a' })).status).toBe(200);
    expect((await get(`${url}/loads`)).body[1].active_prefill_tokens).toBe(0);
    expect((await at('/free', { request_id: 'a' })).status).toBe(200);
    expect((await at('/free', { request_id: 'a' })).status).toBe(404);
    expect((await get(`${url}/loads`)).body[1].active_decode_blocks).toBe(0);
    expect((await at('/unregister', { worker_id: 1 })).status).toBe(200);
    expect((await get(`${url}/workers`)).body).toEqual([]);
    process.signal('SIGTERM');
    expect(await process.exitCode()).toBe(0);
  });
});

describe('kvasir selection', () => {
  test('chooses the worker that holds the prompt, books, and frees', async () => {
    const [one, two, { url }] = await Promise.all([
      startWorker(),
      startWorker(),
      start('selection', '--port', '0'),
    ]);
    expect((await get(`${url}/ready`)).status).toBe(503);
    expect((await post(`${url}/select`, { token_ids: TOKENS })).status).toBe(503);
    for (const [worker_id, worker] of [one, two].entries()) {
      const facts = {
        worker_id,
        endpoint: worker.url,
        block_size: BLOCK,
        kv_events_endpoint: worker.kvEvents,
      };
      expect(await post(`${url}/workers`, facts)).toMatchObject({ status: 201, body: { schedulable: true } });
    }
    expect((await get(`${url}/ready`)).body).toMatchObject({ ready: true, schedulable_workers: 2 });
    let choice = await post(`${url}/select`, { token_ids: TOKENS, selection_id: 's' });
    const isSeen = async (): Promise<boolean> => {
      choice = await post(`${url}/select`, { token_ids: TOKENS, selection_id: 's' });
      return choice.body.overlap.gpu === FULL;
    };
    await computeUntil(() => JSON.stringify(choice), isSeen, two.url, TOKENS);
    expect(choice.body).toMatchObject({
      selection_id: 's',
      model_name: 'default',
      routing_group: 'default',
      worker_id: 1,
      dp_rank: 0,
      endpoint: two.url,
      block_size: BLOCK,
      overlap: { longest_matched: FULL, gpu: FULL, dp: { 0: FULL }, cpu: FULL, disk: FULL },
      effective_prefill_tokens: 4,
      potential_decode_blocks: 6,
    });
    const loadOf = async (worker: number) =>
      (await get(`${url}/loads`)).body[0].loads.find(
        (load: { worker_id: number }) => load.worker_id === worker,
      );
    expect(await loadOf(1)).toMatchObject({ potential_decode_blocks: 0, active_requests: 0 });
    expect(await post(`${url}/reservations`, { selection_id: 's' })).toMatchObject({
      status: 201,
      body: { selection_id: 's', worker_id: 1, endpoint: two.url },
    });
    expect((await post(`${url}/reservations`, { selection_id: 's' })).status).toBe(404);
    expect(await loadOf(1)).toMatchObject({
      potential_prefill_tokens: 4,
      potential_decode_blocks: 6,
      active_requests: 1,
    });
    await ask(`${url}/reservations/s/prefill_complete`, 'POST');
    expect((await post(`${url}/reservations/s/output_block`, { decay_fraction: 2 })).status).toBe(400);
    await post(`${url}/reservations/s/output_block`, {});
    expect(await loadOf(1)).toMatchObject({ potential_prefill_tokens: 0, potential_decode_blocks: 7 });
    expect((await ask(`${url}/reservations/s`, 'DELETE')).status).toBe(200);
    expect((await ask(`${url}/reservations/s`, 'DELETE')).status).toBe(404);
    expect(await loadOf(1)).toMatchObject({ potential_decode_blocks: 0, active_requests: 0 });
  });

  test('books at once, by hashes too, and keeps to what a caller demands', async () => {
    const { url } = await start('selection', '--port', '0');
    for (const worker_id of [1, 2])
      await post(`${url}/workers`, {
        worker_id,
        endpoint: `http://w${worker_id}`,
        block_size: BLOCK,
        taints: worker_id === 2 ? ['big'] : [],
      });
    const reserve = (body: object) => post(`${url}/select_and_reserve`, body);
    const hashed = { block_hashes: [11, -12], sequence_hashes: [21, -22], isl_tokens: 40 };
    const booked = await reserve({ selection_id: 'r', ...hashed, pinned_worker: { worker_id: 2 } });
    expect(booked).toMatchObject({ status: 200, body: { worker_id: 2, effective_prefill_tokens: 40 } });
    expect((await reserve({ selection_id: 'r', ...hashed })).status).toBe(409);
    const generated = await reserve({ token_ids: TOKENS, routing_constraints: { required_taints: ['big'] } });
    expect(generated.body).toMatchObject({
      worker_id: 2,
      selection_id: expect.stringMatching(/^[\da-f-]{36}$/),
    });
    expect((await reserve({ token_ids: TOKENS, allowed_worker_ids: [7] })).status).toBe(503);
    expect((await reserve({ token_ids: TOKENS, pinned_worker: { worker_id: 7 } })).status).toBe(400);
    expect((await reserve({ block_hashes: [1] })).body.error).toContain('sequence_hashes');
    const explicit = { selection_id: 'e', worker_id: 1, sequence_hashes: [1, 2], isl_tokens: 40 };
    expect((await post(`${url}/reservations`, { ...explicit, effective_prefill_tokens: 41 })).status).toBe(
      400,
    );
    expect((await post(`${url}/reservations`, { ...explicit, effective_prefill_tokens: 9 })).status).toBe(
      201,
    );
    const { body: potential } = await post(`${url}/potential_loads`, { token_ids: TOKENS });
    expect(potential[0]).toMatchObject({ worker_id: 1, potential_prefill_tokens: 109, active_requests: 1 });
    const { body: scores } = await post(`${url}/overlap_scores`, { token_ids: TOKENS });
    expect(scores).toMatchObject({ block_size: BLOCK, num_blocks: 6, shared_cache: { enabled: false } });
    expect(scores.workers[0]).toMatchObject({ device_blocks: 0, router_credit_blocks: 0 });
  });

  test('takes the least loaded rank of a worker that is named without one', async () => {
    const { url } = await start('selection', '--port', '0');
    const worker = { worker_id: 1, endpoint: 'http://w1', block_size: BLOCK };
    await post(`${url}/workers`, { ...worker, data_parallel_start_rank: 2, data_parallel_size: 2 });
    const other = { worker_id: 2, endpoint: 'http://w2', block_size: BLOCK };
    await post(`${url}/workers`, { ...other, data_parallel_size: 1 });
    const reserve = async (id: string, first: number, pinned_worker: object) => {
      const token_ids = TOKENS.map((token) => first + token);
      const asked = { selection_id: id, token_ids, pinned_worker };
      const { status, body } = await post(`${url}/select_and_reserve`, asked);
      return status === 200 ? `${body.worker_id}/${body.dp_rank}` : status;
    };
    expect(await reserve('a', 1000, { worker_id: 1, dp_rank: 3 })).toBe('1/3');
    expect(await reserve('b', 2000, { worker_id: 1 })).toBe('1/2');
    expect(await reserve('c', 3000, { worker_id: 1, dp_rank: 2 })).toBe('1/2');
    expect(await reserve('d', 4000, { worker_id: 1, dp_rank: null })).toBe('1/3');
    expect(await reserve('e', 5000, { worker_id: 1, dp_rank: 0 })).toBe(400);
    await ask(`${url}/reservations/a`, 'DELETE');
    const explicit = { selection_id: 'f', worker_id: 1, sequence_hashes: [1, 2], isl_tokens: 40 };
    expect((await post(`${url}/reservations`, explicit)).body).toMatchObject({ worker_id: 1, dp_rank: 3 });
  });

  test('shares its bookings with peers, late ones too, and takes them along when it leaves', async () => {
    const [one, two] = await Promise.all([
      start('selection', '--port', '0'),
      start('selection', '--port', '0'),
    ]);
    const worker = { worker_id: 1, endpoint: 'http://w', block_size: BLOCK };
    for (const { url } of [one, two]) await post(`${url}/workers`, worker);
    const reserve = (url: string, selection_id: string) =>
      post(`${url}/reservations`, { selection_id, worker_id: 1, sequence_hashes: [1, 2], isl_tokens: 40 });
    const activeAt = async (url: string): Promise<number> =>
      (await get(`${url}/loads`)).body[0].loads[0].active_requests;
    const becomes = (url: string, count: number) =>
      eventually(
        () => `${url} has ${count} active requests`,
        async () => (await activeAt(url)) === count,
      );
    // Booked before anybody listens.
    expect((await reserve(one.url, 'early')).status).toBe(201);
    const sync = (of: string, verb: string, url: string) => post(`${of}/replica_sync/${verb}`, { url });
    expect((await sync(one.url, 'register_peer', two.url)).status).toBe(201);
    expect((await sync(two.url, 'register_peer', `${one.url}/`)).status).toBe(201);
    expect((await sync(two.url, 'register_peer', one.url)).status).toBe(200);
    expect((await get(`${two.url}/replica_sync/peers`)).body).toEqual([one.url]);
    await becomes(two.url, 1);
    expect((await reserve(two.url, 'later')).status).toBe(201);
    await becomes(one.url, 2);
    expect((await ask(`${one.url}/reservations/early`, 'DELETE')).status).toBe(200);
    await becomes(two.url, 1);

    expect((await sync(one.url, 'register_peer', 'two')).status).toBe(400);
    expect((await sync(one.url, 'deregister_peer', 'http://nobody')).status).toBe(404);
    const strange = { partition: 'default:default', message: 'AAAA' };
    expect((await post(`${one.url}/replica_sync/messages`, strange)).status).toBe(400);
    const metrics = await (await fetch(`${one.url}/metrics`)).text();
    expect(metrics).toMatch(/kvasir_replica_ignored_messages_total\{[^}]*reason="malformed"[^}]*\} 1/);

    two.process.signal('SIGTERM');
    await becomes(one.url, 0);
  });

  test('refuses with 429 when all are overloaded, and takes workers that change and leave', async () => {
    const { url } = await start('selection', '--port', '0', '--active-prefill-tokens-threshold', '50');
    expect((await post(`${url}/workers`, { worker_id: 1, endpoint: 'http://w' })).body).toMatchObject({
      schedulable: false,
      missing: ['block_size must be greater than 0'],
    });
    expect((await ask(`${url}/workers/1`, 'PATCH', { block_size: BLOCK })).body.schedulable).toBe(true);
    expect((await ask(`${url}/workers/9`, 'PATCH', {})).status).toBe(404);
    expect((await post(`${url}/select_and_reserve`, { selection_id: 'a', token_ids: TOKENS })).status).toBe(
      200,
    );
    expect((await post(`${url}/select_and_reserve`, { selection_id: 'b', token_ids: TOKENS })).status).toBe(
      429,
    );
    await ask(`${url}/reservations/a`, 'DELETE');
    expect((await post(`${url}/select_and_reserve`, { selection_id: 'b', token_ids: TOKENS })).status).toBe(
      200,
    );
    expect((await ask(`${url}/workers/1`, 'DELETE')).status).toBe(200);
    expect((await ask(`${url}/reservations/b`, 'DELETE')).status).toBe(404);
    expect((await get(`${url}/ready`)).status).toBe(503);
  });
});

describe('kvasir router', () => {
  test('chooses, keeps account, and sends requests of token ids', async () => {
    const worker = await startWorker();
    const { url } = await start('router', '--port', '0', '--engine', worker.url);
    const ready = async () => (await get(`${url}/health`)).status === 200;
    await eventually('the router finds a worker', ready);
    const generated = await post(`${url}/generate`, {
      token_ids: TOKENS,
      stop_conditions: { max_tokens: 3, ignore_eos: true, stop: null },
      stream: false,
    });
    expect(generated.status).toBe(200);
    expect(generated.body.usage).toMatchObject({ prompt_tokens: 100, completion_tokens: 3 });
    const choose = () => post(`${url}/best_worker_id`, { token_ids: TOKENS });
    await eventually('its cache is known', async () => (await choose()).body.overlap_blocks === 6);
    const best = await choose();
    expect(best).toMatchObject({ status: 200, body: { dp_rank: 0, overlap_blocks: 6 } });
    expect(BigInt(best.body.worker_id)).toBeGreaterThan(0n);
    const call = (body: object) => post(`${url}/router`, body);
    const loads = async () => (await call({ method: 'potential_loads', tokens: TOKENS })).body.loads[0];
    expect(await loads()).toMatchObject({ potential_prefill_tokens: 4, active_requests: 0 });
    expect((await call({ method: 'new', tokens: TOKENS, request_id: 'r' })).body).toMatchObject({
      method: 'new',
      worker_id: best.body.worker_id,
      overlap_blocks: 6,
    });
    expect((await call({ method: 'new', tokens: TOKENS, request_id: 'r' })).status).toBe(409);
    expect(await loads()).toMatchObject({ potential_prefill_tokens: 8, active_requests: 1 });
    expect((await call({ method: 'mark_prefill', request_id: 'r' })).body).toEqual({
      method: 'prefill_marked',
      success: true,
    });
    expect(await loads()).toMatchObject({ potential_prefill_tokens: 4, active_requests: 1 });
    expect((await call({ method: 'mark_free', request_id: 'r' })).body.success).toBe(true);
    expect((await call({ method: 'mark_free', request_id: 'r' })).status).toBe(404);
    expect(await loads()).toMatchObject({ active_requests: 0 });
    const scores = await post(`${url}/get_overlap_scores`, { token_ids: TOKENS });
    expect(scores.body.workers).toMatchObject([{ worker_id: best.body.worker_id, device_blocks: 6 }]);
    expect((await post(`${url}/best_worker_id`, { token_ids: TOKENS, model: 'x' })).status).toBe(404);
    expect((await call({ method: 'dance' })).status).toBe(400);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('dynamo_component_router_requests_total');
  });
});
