import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endlessAnswer } from '../support/endless-answer.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

/** A rank as `worker/rank`, the workers counted from 0. */
type Place = string;
type Headers = Readonly<Record<string, string>>;

interface Row {
  readonly name: string;
  /** `$0`, `$1`, `$2` stand for the ids of the workers. */
  readonly headers?: Headers;
  /** Text of the body's further fields. */
  readonly body?: string;
  /** Where it must go: one of these, or the status it is refused with. */
  readonly to: readonly Place[] | number;
  /** What the decision says of it. */
  readonly says?: object;
}

const EVERYWHERE = ['0/0', '0/1', '1/0', '1/1', '2/0', '2/1'];
const PROMPT = 'Where a request goes is for its headers to say, and else for its body. '.repeat(8);
const CALLER = { pinnedBy: 'caller' };
const NOBODY = { notAllowed: 0, inhibited: 0, withoutRank: 0, withoutTaints: 0, overloaded: 0 };

describe('a request to a live fleet of 3 workers with 2 ranks each', () => {
  let fleet: KvasirProcess;
  let url: string;
  let ids: readonly string[];

  beforeAll(async () => {
    fleet = new KvasirProcess([
      'up',
      ...['--workers', '3', '--data-parallel-size', '2', '--block-size', '16', '--speedup', '10'],
      ...['--http-port', '0', '--system-port-base', '0', '--log-level', 'error'],
      ...['--router-session-affinity-ttl-secs', '600'],
    ]);
    url = ((await fleet.json()) as { url: string }).url;
    const health = (await (await fetch(`${url}/health`)).json()) as { instances: { worker_id: string }[] };
    ids = health.instances.map(({ worker_id }) => worker_id);
    expect(ids).toHaveLength(3);
  });
  afterAll(() => fleet.kill());

  const named = (text: string): string => text.replace(/\$(\d)/g, (_, i) => ids[Number(i)]!);

  async function send(row: Pick<Row, 'headers' | 'body'>, prompt = PROMPT) {
    const own = { 'content-type': 'application/json' };
    const given = Object.entries(row.headers ?? {}).map(([name, value]) => [name, named(value)]);
    const more = row.body === undefined ? '' : `,${named(row.body)}`;
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { ...own, ...Object.fromEntries(given) },
      body: `{"model":"kvasir-sim","prompt":${JSON.stringify(prompt)},"max_tokens":2${more}}`,
    });
    await response.text();
    const worker = ids.indexOf(response.headers.get('x-kvasir-worker-id') ?? '');
    return { status: response.status, place: `${worker}/${response.headers.get('x-kvasir-dp-rank')}` };
  }

  async function lastDecision() {
    const { decisions } = (await (await fetch(`${url}/debug/decisions?limit=1`)).json()) as {
      decisions: Record<string, unknown>[];
    };
    const decision = decisions[0] as {
      requestId: string;
      worker: { workerId: string; dpRank: number };
      candidates: { chosen: boolean; cost: number }[];
    };
    return {
      pinnedBy: 'nobody',
      leftOut: NOBODY,
      ...decision,
      place: `${ids.indexOf(decision.worker.workerId)}/${decision.worker.dpRank}`,
    };
  }

  const pins: readonly Row[] = [
    { name: 'no control', to: EVERYWHERE },
    ...['x-dynamo-worker-instance-id', 'x-worker-instance-id'].flatMap((worker) =>
      ['x-dynamo-dp-rank', 'x-dp-rank', 'x-data-parallel-rank'].map(
        (rank): Row => ({
          name: `${worker} and ${rank}`,
          headers: { [worker]: '$1', [rank]: '1' },
          to: ['1/1'],
          says: CALLER,
        }),
      ),
    ),
    {
      name: 'nvext.backend_instance_id, a bare number beyond 2^53',
      body: '"nvext":{"backend_instance_id":$2,"dp_rank":1}',
      to: ['2/1'],
      says: CALLER,
    },
    {
      name: 'nvext.decode_worker_id as text, which beats backend_instance_id',
      body: '"nvext":{"decode_worker_id":"$0","backend_instance_id":$2,"dp_rank":0}',
      to: ['0/0'],
      says: CALLER,
    },
    {
      name: 'a header, which beats nvext field by field',
      headers: { 'x-worker-instance-id': '$1' },
      body: '"nvext":{"decode_worker_id":$0,"backend_instance_id":$2,"dp_rank":1}',
      to: ['1/1'],
      says: CALLER,
    },
    {
      name: 'malformed headers, which count as absent',
      headers: { 'x-worker-instance-id': 'second', 'x-dp-rank': '-1' },
      body: '"nvext":{"backend_instance_id":$2,"dp_rank":0}',
      to: ['2/0'],
      says: CALLER,
    },
    {
      name: 'pins of the prefill hop, which there is not',
      headers: { 'x-prefill-instance-id': '$1', 'x-prefill-dp-rank': '7' },
      to: EVERYWHERE,
    },
    { name: 'a pin without a rank', headers: { 'x-worker-instance-id': '$1' }, to: 400 },
    { name: 'a rank that it lacks', headers: { 'x-worker-instance-id': '$1', 'x-dp-rank': '2' }, to: 400 },
    { name: 'a worker of nobody', headers: { 'x-worker-instance-id': '42', 'x-dp-rank': '0' }, to: 400 },
    { name: 'a rank alone', headers: { 'x-dp-rank': '1' }, to: ['0/1', '1/1', '2/1'] },
    { name: 'a rank that nobody has', headers: { 'x-dp-rank': '5' }, to: 503 },
    { name: 'a pin in nvext of a wrong type', body: '"nvext":{"decode_worker_id":[1]}', to: 400 },
    { name: 'a hint that only some know', body: '"nvext":{"agent_hints":{"iat":3}}', to: EVERYWHERE },
    { name: 'a hint of a wrong type', body: '"nvext":{"agent_hints":{"priority":"high"}}', to: 400 },
  ];

  test.each(pins)('goes with $name to $to', async ({ to, says, ...row }) => {
    const { status, place } = await send(row);
    if (typeof to === 'number') return void expect(status).toBe(to);
    expect(status).toBe(200);
    expect(to).toContain(place);
    const decision = await lastDecision();
    expect(decision).toMatchObject({ place, policy: 'kv', leftOut: NOBODY, pinnedBy: 'nobody', ...says });
    expect(decision.candidates.filter(({ chosen }) => chosen)).toHaveLength(1);
    expect(decision.candidates).toHaveLength(
      says === CALLER || to.length === 1 ? 1 : to.length === 3 ? 3 : 6,
    );
  });

  test('follows its session, unless it is pinned, and parts from it when it ends', async () => {
    const turn = (i: number, headers: Headers = {}) =>
      send({ headers: { 'x-dynamo-session-id': 'talk', ...headers } }, `turn ${i}: ${PROMPT}`);
    const { place: home } = await turn(0);
    for (let i = 1; i <= 4; i++) expect(await turn(i)).toEqual({ status: 200, place: home });
    expect(await lastDecision()).toMatchObject({ pinnedBy: 'session', place: home });
    const elsewhere = home === '1/0' ? '2/1' : '1/0';
    const [worker, rank] = elsewhere.split('/');
    const pin = { 'x-worker-instance-id': `$${worker}`, 'x-dp-rank': rank! };
    expect((await turn(5, pin)).place).toBe(elsewhere);
    expect((await turn(6)).place).toBe(elsewhere);
    await turn(7, { 'x-dynamo-session-final': 'true' });
    await turn(8);
    expect(await lastDecision()).toMatchObject({ pinnedBy: 'nobody' });
  });

  test('is cached for its tenant only: header before nvext before body', async () => {
    const salted = async (row: Pick<Row, 'headers' | 'body'>): Promise<boolean> => {
      await send(row, `A prompt of tenants. ${PROMPT}`);
      const { candidates } = (await lastDecision()) as unknown as { candidates: { deviceBlocks: number }[] };
      return candidates.some(({ deviceBlocks }) => deviceBlocks > 0);
    };
    const header = { 'x-tenant-id': 'a' };
    expect(await salted({ headers: header })).toBe(false);
    await eventually('its prompt is cached', () => salted({ headers: header }));
    expect(await salted({ headers: header, body: '"nvext":{"cache_salt":"b"},"cache_salt":"c"' })).toBe(true);
    expect(await salted({ body: '"nvext":{"cache_salt":"a"},"cache_salt":"c"' })).toBe(true);
    expect(await salted({ body: '"cache_salt":"a"' })).toBe(true);
    expect(await salted({ body: '"cache_salt":"b"' })).toBe(false);
    expect(await salted({})).toBe(false);
  });

  const set = async (thresholds: object) => {
    const response = await fetch(`${url}/busy_threshold`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'kvasir-sim', ...thresholds }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  test('avoids workers over a threshold that is set while they serve, and is refused when all are', async () => {
    expect(await set({})).toMatchObject({ status: 200, body: { active_decode_blocks_threshold: null } });
    for (const wrong of [{ active_decode_blocks_threshold: 1.5 }, { active_prefill_tokens_threshold: -1 }])
      expect((await set(wrong)).status).toBe(400);
    expect((await set({ model: 'other', active_decode_blocks_threshold: 0.5 })).status).toBe(404);
    expect((await set({ active_decode_blocks_threshold: 0 })).body).toMatchObject({
      model: 'kvasir-sim',
      active_decode_blocks_threshold: 0,
      active_prefill_tokens_threshold: null,
    });
    const busyRanks = (count: number) =>
      eventually(`${count} ranks are busy`, async () => (await ranks()) === count);
    const leave = new AbortController();
    const busy: Promise<void>[] = [];
    const occupy = (...places: readonly (readonly [worker: number, rank: number])[]) => {
      for (const [worker, rank] of places) busy.push(endlessAnswer(url, ids[worker]!, rank, leave.signal));
    };
    const ranks = async () => {
      const told = (await (await fetch(`${url}/debug/ranks`)).json()) as {
        ranks: { worker: { workerId: string; dpRank: number }; load: { busy: boolean } }[];
      };
      return told.ranks.filter(({ load }) => load.busy).length;
    };
    occupy([0, 0], [0, 1], [1, 0]);
    await busyRanks(3);
    // A worker is busy when all of its ranks are.
    for (let i = 0; i < 6; i++) expect((await send({})).place).toMatch(/^[12]/);
    expect(await lastDecision()).toMatchObject({ leftOut: { ...NOBODY, overloaded: 1 } });
    const pinned = { headers: { 'x-worker-instance-id': '$0', 'x-dp-rank': '0' } };
    expect((await send(pinned)).status).toBe(529);
    occupy([1, 1], [2, 0], [2, 1]);
    await busyRanks(6);
    expect((await send({})).status).toBe(529);
    // Raised, it takes effect with the next load that is told.
    expect((await set({ active_decode_blocks_threshold: 1 })).status).toBe(200);
    leave.abort();
    await Promise.all(busy);
    await busyRanks(0);
    expect((await send({})).status).toBe(200);
  });
});
