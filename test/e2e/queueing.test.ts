import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { get, post } from '../support/json-service.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { metricSum } from '../support/metric-value.ts';
import { eventually } from '../support/until.ts';

/** Classes of one router; thresholds so low that one prompt under way makes the rest wait. */
const CLASSES = `
default_policy_family: plain
policy_classes:
  - {name: plain, prefill_busy_threshold: 10, queue_policy: fcfs}
  - {name: short-first, prefill_busy_threshold: 10, queue_policy: wspt}
  - {name: a, prefill_busy_threshold: 10, quantum: 100}
  - {name: b, prefill_busy_threshold: 10, quantum: 300}
  - {name: few, prefill_busy_threshold: 10, request_queue_limit_per_worker: 2}
  - {name: little, prefill_busy_threshold: 10, raw_isl_queue_limit_per_worker: 250}
`;

type Headers = Readonly<Record<string, string>>;

interface Waiting {
  /** Prompt tokens, by which it is known again. */
  readonly isl: number;
  readonly headers?: Headers;
  readonly nvext?: object;
}

const ofClass = (name: string, isl: number, headers: Headers = {}): Waiting => ({
  isl,
  headers: { 'x-dynamo-meta-policy-class': name, ...headers },
});

describe('requests that wait for a worker', () => {
  const processes: KvasirProcess[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-queue-'));
  let engine: string;
  let classes: string;
  let stack: string;
  let booked = 0;

  async function start(...args: string[]): Promise<{ url: string; kvEvents: string }> {
    const process = new KvasirProcess([...args, '--log-level', 'error']);
    processes.push(process);
    return (await process.json()) as { url: string; kvEvents: string };
  }

  beforeAll(async () => {
    const file = join(folder, 'classes.yaml');
    writeFileSync(file, CLASSES);
    const worker = await start('worker', '--http-port', '0', '--block-size', '16', '--speedup', '10');
    engine = worker.url;
    const router = (...flags: string[]) => start('router', '--port', '0', '--engine', engine, ...flags);
    [classes, stack] = await Promise.all([
      router('--router-policy-config', file).then(({ url }) => url),
      router('--router-queue-threshold', '0.001', '--router-queue-policy', 'lcfs').then(({ url }) => url),
    ]);
    for (const url of [classes, stack])
      await eventually('the worker is found', async () => (await fetch(`${url}/health`)).ok);
  });
  afterAll(async () => {
    for (const process of processes.splice(0)) await process.kill();
    rmSync(folder, { recursive: true });
  });
  afterEach(async () => {
    for (const url of [classes, stack]) await wait(url, 0);
  });

  const pending = async (url: string): Promise<number> =>
    metricSum(await (await fetch(`${url}/metrics`)).text(), 'dynamo_frontend_router_queue_pending_requests');

  const wait = (url: string, count: number): Promise<void> =>
    eventually(`${count} requests wait`, async () => (await pending(url)) === count);

  /** Keeps the only worker busy until the returned function is called. */
  async function occupy(url: string): Promise<() => Promise<void>> {
    const id = `blocker ${booked++}`;
    const call = (body: object) => post(`${url}/router`, body);
    expect((await call({ method: 'new', request_id: id, tokens: prompt(500) })).status).toBe(200);
    return async () => {
      expect((await call({ method: 'mark_free', request_id: id })).status).toBe(200);
    };
  }

  let next = 1;
  /** Unlike all before it. */
  function prompt(isl: number): number[] {
    const first = 1000 * next++;
    return Array.from({ length: isl }, (_, i) => first + i);
  }

  function send(url: string, { isl, headers = {}, nvext }: Waiting, signal?: AbortSignal): Promise<Response> {
    return fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'kvasir-sim', prompt: prompt(isl), max_tokens: 1, nvext }),
      signal: signal ?? null,
    });
  }

  /** Lets them come one after the other while the worker is busy, and tells in which order they went. */
  async function order(url: string, waiting: readonly Waiting[]): Promise<readonly number[]> {
    const release = await occupy(url);
    const sent: Promise<Response>[] = [];
    for (const each of waiting) {
      sent.push(send(url, each));
      await wait(url, sent.length);
    }
    await release();
    for (const response of await Promise.all(sent)) expect(response.status).toBe(200);
    const { decisions } = (await get(`${url}/debug/decisions?limit=${waiting.length}`)).body;
    for (const { waited } of decisions) expect(waited.waitMs).toBeGreaterThan(0);
    return decisions.map(({ isl }: { isl: number }) => isl).reverse();
  }

  const URGENT = { 'x-dynamo-request-priority': '3600' };
  const rows: readonly [string, () => string, readonly Waiting[], readonly number[]][] = [
    ['first come first', () => classes, [{ isl: 30 }, { isl: 20 }, { isl: 40 }], [30, 20, 40]],
    ['last come first', () => stack, [{ isl: 30 }, { isl: 20 }, { isl: 40 }], [40, 20, 30]],
    [
      'shortest first',
      () => classes,
      [ofClass('short-first', 30), ofClass('short-first', 20), ofClass('short-first', 40)],
      [20, 30, 40],
    ],
    [
      'by seconds of head start, from header, hint, or not at all below 0',
      () => classes,
      [
        { isl: 30, headers: { 'x-dynamo-request-priority': '-3600' } },
        { isl: 20 },
        { isl: 40, nvext: { agent_hints: { priority: 1800 } } },
        { isl: 50, headers: URGENT, nvext: { agent_hints: { priority: 1 } } },
      ],
      [50, 40, 30, 20],
    ],
    [
      'by strict priority before all else',
      () => classes,
      [
        { isl: 30, headers: URGENT },
        { isl: 20, headers: { 'x-dynamo-request-strict-priority': '1' } },
        { isl: 40, nvext: { agent_hints: { strict_priority: 2 } } },
      ],
      [40, 20, 30],
    ],
    [
      'in turns that give each class its share',
      () => classes,
      [...[250, 50, 100].map((isl) => ofClass('a', isl)), ...[200, 400, 110].map((isl) => ofClass('b', isl))],
      [200, 400, 250, 50, 110, 100],
    ],
    [
      'of a class that there is not as of the default one',
      () => classes,
      [ofClass('other', 30), { isl: 20 }, ofClass('plain', 40)],
      [30, 20, 40],
    ],
  ];

  test.each(rows)('go %s', async (_, url, waiting, expected) => {
    expect(await order(url(), waiting)).toEqual(expected);
  });

  test.each([
    ['few', 'request', [20, 20], 20],
    ['little', 'raw ISL', [100, 120], 31],
  ] as const)('are refused with 529 at the limit of class %s', async (name, reason, fit, over) => {
    const release = await occupy(classes);
    const sent: Promise<Response>[] = [];
    for (const isl of fit) {
      sent.push(send(classes, ofClass(name, isl)));
      await wait(classes, sent.length);
    }
    const refused = await send(classes, ofClass(name, over));
    expect([refused.status, await refused.text()]).toEqual([
      529,
      expect.stringContaining(`class ${name} is at its ${reason} limit`),
    ]);
    const text = await (await fetch(`${classes}/metrics`)).text();
    expect(text).toMatch(
      new RegExp(
        `^dynamo_frontend_router_queue_backpressure_total{[^}]*policy_class="${name}"[^}]*} 1$`,
        'm',
      ),
    );
    await release();
    for (const response of await Promise.all(sent)) expect(response.status).toBe(200);
  });

  test('leave at once with their clients, whoever waits behind them', async () => {
    const release = await occupy(classes);
    const leave = new AbortController();
    const leaving = Array.from({ length: 20 }, () =>
      send(classes, { isl: 30 }, leave.signal).catch(() => undefined),
    );
    await wait(classes, 20);
    const staying = send(classes, { isl: 77 });
    await wait(classes, 21);
    leave.abort();
    await Promise.all(leaving);
    await wait(classes, 1);
    await release();
    expect((await staying).status).toBe(200);
    const { decisions } = (await get(`${classes}/debug/decisions?limit=1`)).body;
    expect(decisions[0]).toMatchObject({ isl: 77, waited: { policyClass: 'plain' } });
  });

  test('are not held back where no worker could serve them anyway', async () => {
    const release = await occupy(classes);
    expect((await send(classes, { isl: 20, headers: { 'x-dp-rank': '3' } })).status).toBe(503);
    expect((await send(classes, { isl: 20, headers: { 'x-worker-instance-id': '3' } })).status).toBe(400);
    await release();
  });
});
