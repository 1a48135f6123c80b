import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CHAT,
  cleanUp,
  payloads,
  post,
  requestsTotal,
  startEngine,
  startFrontend,
} from '../../test/support/frontend-setup.ts';
import { until } from '../../test/support/until.ts';

cleanUp();

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/engine/pd-handoff.json', import.meta.url), 'utf8'),
);
const HANDOFF = golden.prefill_response_excerpt.kv_transfer_params;

/** Two prefill workers, ids 1 and 2, and two decode workers, ids 3 and 4. */
async function splitFleet(options: Parameters<typeof startFrontend>[0] = {}) {
  const engines = [
    await startEngine(),
    await startEngine(),
    await startEngine(),
    await startEngine(),
  ] as const;
  for (const engine of engines.slice(0, 2)) engine.handoff = HANDOFF;
  const roles = ['prefill', 'prefill', 'decode', 'decode'] as const;
  const setup = await startFrontend({ engines, roles, ...options });
  const [p1, p2, d1, d2] = engines;
  return { ...setup, prefill: [p1, p2] as const, decode: [d1, d2] as const };
}

const seenOf = <T>(engines: readonly { readonly seen: readonly T[] }[]): T[] =>
  engines.flatMap(({ seen }) => seen);

describe('a prompt computed elsewhere', () => {
  test('goes out and on in the very bodies that vLLM’s proxies send', async () => {
    const { url, prefill, decode, value } = await splitFleet();
    const response = await post(url, '/v1/completions', golden.client_request);
    const events = payloads(await response.text());
    expect(events.at(-1)).toBe('[DONE]');
    const [first] = seenOf(prefill);
    const [second] = seenOf(decode);
    expect(first?.body).toEqual(golden.prefill_request);
    expect(second?.body).toEqual({ ...golden.decode_request, kv_transfer_params: HANDOFF });
    expect(first?.headers['x-request-id']).toBe(second?.headers['x-request-id']);
    expect(['1', '2']).toContain(response.headers.get('x-kvasir-prefill-worker-id'));
    expect(['3', '4']).toContain(response.headers.get('x-kvasir-worker-id'));
    await until(async () => (await value('dynamo_frontend_inflight_requests{model="m"}')) === 0);
    for (const component of ['prefill', 'backend']) {
      const labels = `{dynamo_component="${component}",dynamo_namespace="dynamo",router_id="7",worker_id="7"}`;
      expect(await value(`dynamo_component_router_requests_total${labels}`)).toBe(1);
    }
  });

  test('leaves no booking behind, and its tokens are not counted twice', async () => {
    const { url, routers, value } = await splitFleet();
    for (let i = 0; i < 4; i++)
      await (await post(url, '/v1/chat/completions', { ...CHAT, stream: i % 2 === 0 })).text();
    await until(async () => (await value(requestsTotal(true))) + (await value(requestsTotal(false))) === 4);
    expect(await value('dynamo_frontend_output_tokens_total{model="m"}')).toBe(4 * 5);
    const loads = routers.flatMap((router) => router.loads());
    expect(loads).toHaveLength(4);
    expect(loads.every((load) => load.activeRequests === 0 && load.activePrefillTokens === 0)).toBe(true);
  });

  test('is not asked for where an answer cannot be split, or nobody does only that', async () => {
    const { url, prefill, discovery } = await splitFleet();
    await post(url, '/v1/chat/completions', { ...CHAT, n: 2 });
    await post(url, '/v1/completions', { model: 'm', prompt: ['a', 'b'] });
    expect(seenOf(prefill)).toHaveLength(0);
    discovery.remove('1');
    discovery.remove('2');
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(200);
    expect(seenOf(prefill)).toHaveLength(0);
  });

  test('is tried at another prefill worker when one dies, and fails with the last', async () => {
    const { url, prefill, decode } = await splitFleet();
    prefill[0].behave = 'die at once';
    for (let i = 0; i < 4; i++) {
      const messages = [{ role: 'user', content: `${i} is a prompt of its own` }];
      expect((await post(url, '/v1/chat/completions', { ...CHAT, messages })).status).toBe(200);
    }
    prefill[1].behave = 'plain 500';
    const before = seenOf(decode).length;
    const response = await post(url, '/v1/chat/completions', CHAT, {
      headers: { 'x-prefill-instance-id': '2' },
    });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringMatching(/did not compute the prompt: 500, Internal Server Error/) },
    });
    expect(seenOf(decode)).toHaveLength(before);
  });

  test('runs beside the decode hop for SGLang, both meeting under one number', async () => {
    const { url, prefill, decode, routers } = await splitFleet({ facts: { kind: 'sglang' } });
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true });
    expect(payloads(await response.text()).at(-1)).toBe('[DONE]');
    const [first] = seenOf(prefill);
    const [second] = seenOf(decode);
    const { bootstrap_host, bootstrap_port, bootstrap_room } = first?.body ?? {};
    expect({ bootstrap_host, bootstrap_port }).toEqual({ bootstrap_host: '127.0.0.1', bootstrap_port: null });
    expect(Number.isSafeInteger(bootstrap_room)).toBe(true);
    expect(second?.body.bootstrap_room).toBe(bootstrap_room);
    await until(() => routers.flatMap((router) => router.loads()).every((load) => load.activeRequests === 0));
  });

  test('names the rank of its prefill worker to the decode worker of SGLang, by number and by room', async () => {
    const { url, prefill, decode } = await splitFleet({ facts: { kind: 'sglang', dpSize: 4 } });
    for (let i = 0; i < 3; i++) await post(url, '/v1/chat/completions', CHAT);
    for (const [i, { body }] of seenOf(prefill).entries()) {
      expect(Number(body.bootstrap_room) % 4).toBe(body.routed_dp_rank);
      const meeting = seenOf(decode).find((each) => each.body.bootstrap_room === body.bootstrap_room);
      expect(meeting?.body.disagg_prefill_dp_rank, `request ${i}`).toBe(body.routed_dp_rank);
    }
  });

  test('that is lost for SGLang is met anew elsewhere, by the same decode worker or another', async () => {
    const { url, prefill, decode, routers, value } = await splitFleet({ facts: { kind: 'sglang' } });
    for (const engine of decode) engine.delayMs = 60;
    await post(url, '/v1/chat/completions', CHAT);
    const [good, bad] = prefill[0].seen.length === 0 ? prefill : [prefill[1], prefill[0]];
    bad.behave = 'refuse 503';
    for (let i = 0; i < 4; i++) {
      const { status } = await post(url, '/v1/chat/completions', CHAT);
      expect(status).toBe(200);
    }
    expect(bad.seen.length).toBeGreaterThan(1);
    expect(good.seen).toHaveLength(4);
    await until(() => routers.flatMap((router) => router.loads()).every((load) => load.activeRequests === 0));
    expect(await value('dynamo_frontend_inflight_requests{model="m"}')).toBe(0);
    good.behave = 'refuse 503';
    const lost = await post(url, '/v1/chat/completions', CHAT);
    expect([lost.status, ((await lost.json()) as { error: { message: string } }).error.message]).toEqual([
      502,
      expect.stringMatching(/^prefill worker .* did not compute the prompt: it answered 503/),
    ]);
  });

  test('is given up when the client leaves', async () => {
    const { url, prefill, decode, routers, frontend } = await splitFleet();
    for (const engine of prefill) engine.behave = 'never answer';
    const leave = new AbortController();
    const asked = post(url, '/v1/chat/completions', CHAT, { signal: leave.signal }).catch(() => {});
    await until(() => seenOf(prefill).length === 1);
    leave.abort();
    await asked;
    await until(() => frontend.inFlight === 0 && prefill.every((engine) => engine.active === 0));
    expect(seenOf(decode)).toHaveLength(0);
    expect(routers.flatMap((router) => router.loads()).every((load) => load.activeRequests === 0)).toBe(true);
  });

  test.each(['isl_bounding', 'isl_or_load'] as const)(
    'is left out by %s when little is new',
    async (rule) => {
      const { url, prefill, decode, value } = await splitFleet({
        facts: { totalKvBlocks: 1000 },
        parts: { prefillBypass: { rule, busyTokens: 8192, decodeBlocksThreshold: 0.8 } },
      });
      for (let i = 0; i < 3; i++) expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(200);
      expect([seenOf(prefill).length, seenOf(decode).length]).toEqual([1, 3]);
      expect(await value('kvasir_frontend_prefill_bypassed_total{model="m"}')).toBe(2);
      const other = {
        ...CHAT,
        messages: [{ role: 'user', content: 'Something else altogether, and longer' }],
      };
      expect((await post(url, '/v1/chat/completions', other)).status).toBe(200);
      expect(seenOf(prefill)).toHaveLength(2);
    },
  );

  test('is left out by prefill_load while all of its workers are busy', async () => {
    const { url, prefill, decode } = await splitFleet({
      facts: { totalKvBlocks: 1000 },
      parts: { prefillBypass: { rule: 'prefill_load', busyTokens: 10, decodeBlocksThreshold: 0.8 } },
    });
    for (const engine of prefill) engine.behave = 'never answer';
    const leave = new AbortController();
    const stuck = [1, 2].map((i) =>
      post(
        url,
        '/v1/chat/completions',
        { ...CHAT, messages: [{ role: 'user', content: `${i} is stuck for good` }] },
        { signal: leave.signal },
      ).catch(() => {}),
    );
    await until(() => seenOf(prefill).length === 2);
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(200);
    expect([seenOf(prefill).length, seenOf(decode).length]).toEqual([2, 1]);
    leave.abort();
    await Promise.all(stuck);
  });

  test('is done again elsewhere when it was gone before it could be fetched', async () => {
    const { url, prefill, decode, routers, value } = await splitFleet();
    for (const engine of decode) engine.behave = 'plain 500';
    for (const engine of prefill) engine.delayMs = 60;
    void until(() => seenOf(decode).length === 1).then(() => {
      for (const engine of decode) engine.behave = 'answer';
    });
    const response = await post(url, '/v1/chat/completions', CHAT);
    expect(response.status).toBe(200);
    expect(prefill.map(({ seen }) => seen.length)).toEqual([1, 1]);
    expect(seenOf(decode)).toHaveLength(2);
    expect(await value('dynamo_frontend_model_migration_total{migration_type="new_request",model="m"}')).toBe(
      1,
    );
    expect(routers.flatMap((router) => router.loads()).every((load) => load.activeRequests === 0)).toBe(true);
  });

  test.each([
    ['said in a stream', 'Internal server error', [1, 1]],
    ['but not when the decode worker died', 'EngineCore died', [1, 0]],
  ])('is done again elsewhere when it was gone, %s', async (_, message, prompts) => {
    const { url, prefill, decode } = await splitFleet({ router: { mode: 'round-robin' } });
    const data = JSON.stringify({ error: { message, type: 'InternalServerError', code: 500 } });
    decode[0].lastWords = { data, afterTokens: 0 };
    const response = await post(url, '/v1/chat/completions', { ...CHAT, stream: true, max_tokens: 2 });
    expect(payloads(await response.text()).filter((event) => event.includes('"content":"w'))).toHaveLength(2);
    expect(prefill.map(({ seen }) => seen.length)).toEqual(prompts);
    expect(seenOf(decode)).toHaveLength(2);
  });

  test('costs as many tries as there are prefill workers when the decode worker is to blame', async () => {
    const { url, prefill, decode } = await splitFleet();
    for (const engine of decode) engine.behave = 'plain 500';
    expect((await post(url, '/v1/chat/completions', CHAT)).status).toBe(500);
    expect(prefill.map(({ seen }) => seen.length)).toEqual([1, 1]);
    expect(seenOf(decode)).toHaveLength(3);
  });
});
