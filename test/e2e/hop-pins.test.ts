import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endlessAnswer } from '../support/endless-answer.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

type Headers = Readonly<Record<string, string>>;

const PROMPT = 'Where each hop of a request goes is for its headers to say, and else for its body. '.repeat(
  8,
);

describe('a request to a live fleet of 2 prefill and 2 decode workers', () => {
  const processes: KvasirProcess[] = [];
  let url: string;
  let ids: readonly string[];

  async function start(args: readonly string[], env: Record<string, string> = {}) {
    const process = new KvasirProcess([...args, '--log-level', 'error'], env);
    processes.push(process);
    return (await process.json()) as { url: string; workers?: readonly { url: string }[] };
  }

  beforeAll(async () => {
    const ready = await start([
      'up',
      ...['--workers', '4', '--disaggregated', '--data-parallel-size', '2', '--speedup', '10'],
      ...['--http-port', '0', '--system-port-base', '0'],
    ]);
    url = ready.url;
    const health = (await (await fetch(`${url}/health`)).json()) as {
      instances: { worker_id: string; role: string }[];
    };
    // Workers 0 and 1 prefill, 2 and 3 decode.
    const sorted = health.instances.sort((a, b) => (a.role > b.role ? -1 : 1));
    expect(sorted.map(({ role }) => role)).toEqual(['prefill', 'prefill', 'decode', 'decode']);
    ids = sorted.map(({ worker_id }) => worker_id);
  });
  afterAll(async () => {
    for (const process of processes.splice(0)) await process.kill();
  });

  const named = (text: string): string => text.replace(/\$(\d)/g, (_, i) => ids[Number(i)]!);

  async function send(headers: Headers, nvext: string, to = url) {
    const given = Object.entries(headers).map(([name, value]) => [name, named(value)]);
    const response = await fetch(`${to}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...Object.fromEntries(given) },
      body: `{"model":"kvasir-sim","prompt":"${PROMPT}","max_tokens":2,"nvext":{${named(nvext)}}}`,
    });
    await response.text();
    return response.status;
  }

  /** Where the last request's two hops went, and whether each was pinned. */
  async function hops(): Promise<readonly string[]> {
    const { decisions } = (await (await fetch(`${url}/debug/decisions?limit=2`)).json()) as {
      decisions: { hop: string; pinnedBy?: string; worker: { workerId: string; dpRank: number } }[];
    };
    return decisions
      .reverse()
      .map(
        ({ hop, pinnedBy = 'free', worker }) =>
          `${hop} ${ids.indexOf(worker.workerId)}/${worker.dpRank} ${pinnedBy}`,
      );
  }

  const FREE_PREFILL = /^prefill [01]\/[01] free$/;
  const FREE_DECODE = /^decode [23]\/[01] free$/;
  const rows: readonly [string, Headers, string, prefill: RegExp, decode: RegExp][] = [
    ['nothing', {}, '', FREE_PREFILL, FREE_DECODE],
    [
      'both pins in nvext, the prefill rank unset',
      {},
      '"prefill_worker_id":$0,"decode_worker_id":$3,"dp_rank":1,"prefill_dp_rank":4294967295',
      /^prefill 0\/1 caller$/,
      /^decode 3\/1 caller$/,
    ],
    [
      'both pins in headers, which beat nvext',
      {
        'x-dynamo-prefill-instance-id': '$1',
        'x-dynamo-prefill-dp-rank': '0',
        'x-dynamo-worker-instance-id': '$2',
        'x-dynamo-dp-rank': '1',
      },
      '"prefill_worker_id":$0,"decode_worker_id":$3,"dp_rank":0,"prefill_dp_rank":1',
      /^prefill 1\/0 caller$/,
      /^decode 2\/1 caller$/,
    ],
    [
      'a pin of the prefill hop alone',
      { 'x-prefill-instance-id': '$1', 'x-prefill-dp-rank': '1' },
      '',
      /^prefill 1\/1 caller$/,
      FREE_DECODE,
    ],
    [
      'a pin of the decode hop alone, its rank for both',
      {},
      '"decode_worker_id":$2,"dp_rank":0',
      /^prefill [01]\/0 free$/,
      /^decode 2\/0 caller$/,
    ],
    [
      'a backend that only decodes',
      {},
      '"backend_instance_id":$3,"dp_rank":1',
      /^prefill [01]\/1 free$/,
      /^decode 3\/1 caller$/,
    ],
    [
      'a backend that only prefills',
      {},
      '"backend_instance_id":$0,"dp_rank":1',
      /^prefill 0\/1 caller$/,
      /^decode [23]\/1 free$/,
    ],
  ];

  test.each(rows)('goes with %s where it must', async (_, headers, nvext, prefill, decode) => {
    expect(await send(headers, nvext)).toBe(200);
    expect(await hops()).toEqual([expect.stringMatching(prefill), expect.stringMatching(decode)]);
  });

  test.each([
    ['a decode worker as prefill pin', '"prefill_worker_id":$2,"prefill_dp_rank":0'],
    ['a prefill worker as decode pin', '"decode_worker_id":$0,"dp_rank":0'],
    ['a backend of nobody', '"backend_instance_id":99,"dp_rank":0'],
    ['a prefill pin without a rank', '"prefill_worker_id":$1'],
  ])('is refused with %s', async (_, nvext) => {
    expect(await send({}, nvext)).toBe(400);
  });

  test('is heeded only as far as the environment lets it be', async () => {
    const engines = ((await (await fetch(`${url}/health`)).json()) as { instances: { url: string }[] })
      .instances;
    const { url: strict } = await start(
      ['frontend', '--http-port', '0', ...engines.flatMap((engine) => ['--engine', engine.url])],
      {
        DYN_ENABLE_FRONTEND_NVEXT: 'false',
        DYN_DISABLE_FRONTEND_ADMIN_API: 'true',
        DYN_HTTP_OVERLOAD_STATUS_CODE: '503',
        DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD: '0',
      },
    );
    const known = async () => {
      const { instances } = (await (await fetch(`${strict}/health`)).json()) as { instances?: object[] };
      return instances?.length === 4;
    };
    await eventually('all workers are known', known);
    expect(await send({}, '"prefill_worker_id":99', strict)).toBe(200);
    expect(await send({ 'x-prefill-instance-id': '99' }, '', strict)).toBe(400);
    for (const path of ['/busy_threshold', '/debug/decisions'])
      expect((await fetch(strict + path)).status).toBe(404);
    const leave = new AbortController();
    const busy = [2, 3].flatMap((worker) =>
      [0, 1].map((rank) => endlessAnswer(strict, ids[worker]!, rank, leave.signal)),
    );
    await eventually('all are overloaded', async () => (await send({}, '', strict)) === 503);
    leave.abort();
    await Promise.all(busy);
  });
});
