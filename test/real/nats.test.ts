import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RealClock } from '../../src/base/clock.ts';
import { SILENT_LOG } from '../../src/base/log.ts';
import { followLoads, type LoadMessage } from '../../src/transport/nats/load-reports.ts';
import { NatsConnection } from '../../src/transport/nats/nats-connection.ts';
import { parseNatsServers } from '../../src/transport/nats/nats-servers.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { metricSum } from '../support/metric-value.ts';
import { NatsServer } from '../support/nats-server.ts';
import { realPart } from '../support/real-part.ts';
import { eventually } from '../support/until.ts';

const { skip } = realPart('nats-server');
const LEASE_SECS = 2;
const WORKER = ['worker', '--discovery', 'nats', '--http-port', '0', '--lease-secs', String(LEASE_SECS)];
const FRONTEND = ['frontend', '--discovery', 'nats', '--http-port', '0', '--router-replica-sync'];

interface Started {
  readonly process: KvasirProcess;
  readonly url: string;
}

interface Health {
  readonly status: string;
  readonly discovery: { readonly ok: boolean; readonly detail: string };
  readonly instances?: readonly { readonly url: string }[];
}

const text = async (url: string): Promise<string> => (await fetch(url)).text();
const health = async ({ url }: Started): Promise<Health> =>
  (await (await fetch(`${url}/health`)).json()) as Health;
const instances = async (frontend: Started): Promise<number> =>
  (await health(frontend)).instances?.length ?? 0;

/** One conversation's prompt: a prefix of its own, and a turn that differs. */
function ask({ url }: Started, conversation: number, turn: number, maxTokens = 20): Promise<Response> {
  const content = `conversation ${conversation} ${'context '.repeat(60)} turn ${turn}`;
  const body = { model: 'kvasir-sim', messages: [{ role: 'user', content }], max_tokens: maxTokens };
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Blocks that a worker holds, as it tells itself. */
async function heldBlocks(worker: Started): Promise<number> {
  const { ranks } = JSON.parse(await text(`${worker.url}/kv/snapshot`)) as {
    readonly ranks: readonly { readonly events: readonly { readonly block_hashes: readonly string[] }[] }[];
  };
  return ranks.flatMap(({ events }) => events).reduce((sum, event) => sum + event.block_hashes.length, 0);
}

describe.skipIf(skip)('a fleet on NATS', { timeout: 120_000 }, () => {
  let nats: NatsServer;
  const processes: KvasirProcess[] = [];
  const workers: Started[] = [];
  const frontends: Started[] = [];

  const start = async (args: readonly string[]): Promise<Started> => {
    const process = new KvasirProcess(args, { NATS_SERVER: nats.url });
    processes.push(process);
    const { url } = await process.json();
    return { process, url: String(url) };
  };

  beforeAll(async () => {
    nats = await NatsServer.start();
    frontends.push(await start([...FRONTEND, '--router-id', 'one']));
    const waiting = await health(frontends[0]!);
    expect(waiting).toMatchObject({ status: 'not_ready', discovery: { kind: 'nats' } });
    const others = [
      start(WORKER),
      start(WORKER),
      start(WORKER),
      start([...FRONTEND, '--router-id', 'two']),
    ] as const;
    const [a, b, c, second] = await Promise.all(others);
    workers.push(a, b, c);
    frontends.push(second);
  });

  afterAll(async () => {
    for (const process of processes) await process.kill();
    await nats?.stop();
  });

  const settled = async (held: readonly Started[]): Promise<boolean> => {
    const blocks = (await Promise.all(held.map(heldBlocks))).reduce((sum, each) => sum + each, 0);
    for (const frontend of frontends) {
      const metrics = await text(`${frontend.url}/metrics`);
      const exact = metricSum(metrics, 'kvasir_index_rank_state', 'state="exact"');
      const indexed = metricSum(metrics, 'kvasir_index_resident_blocks');
      const missing = metricSum(metrics, 'kvasir_replica_missing_changes');
      if (exact !== held.length || indexed !== blocks || missing !== 0) return false;
    }
    return true;
  };

  test('is found by every frontend, which know its caches and each other’s bookings', async () => {
    for (const frontend of frontends)
      await eventually('three workers', async () => (await instances(frontend)) === 3);
    const long = Array.from({ length: 6 }, (_, i) => ask(frontends[i % 2]!, i, 0, 400));
    await eventually('bookings of the peer', async () => {
      const booked = await Promise.all(
        frontends.map(async ({ url }) => metricSum(await text(`${url}/metrics`), 'kvasir_replica_bookings')),
      );
      return booked.every((count) => count === 3);
    });
    const loads = await Promise.all(
      frontends.map(async ({ url }) => {
        const metrics = await text(`${url}/metrics`);
        return metrics
          .split('\n')
          .filter((line) => line.startsWith('dynamo_frontend_worker_active_decode_blocks{'));
      }),
    );
    expect(loads[0]).toHaveLength(3);
    expect(loads[1]!.sort()).toEqual(loads[0]!.sort());
    for (const answer of await Promise.all(long)) expect(answer.status).toBe(200);
    await eventually('indexes equal to the caches', () => settled(workers));
    // What one frontend placed, the other finds.
    const again = await ask(frontends[1]!, 0, 0);
    const { usage } = (await again.json()) as {
      readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
    };
    expect(usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(384);
  });

  test('tells the loads of all its ranks to who listens', async () => {
    const connection = new NatsConnection({
      ...parseNatsServers(nats.url),
      name: 'test',
      clock: new RealClock(),
      log: SILENT_LOG,
    });
    const loads = new Map<string, LoadMessage>();
    const stop = followLoads(connection, 'dynamo', (load) => loads.set(load.workerId, load));
    await connection.start();
    const answers = Array.from({ length: 6 }, (_, i) => ask(frontends[0]!, 30 + i, 0, 150));
    await eventually(
      'blocks in use on three workers',
      async () => [...loads.values()].filter(({ kvUsedBlocks = 0 }) => kvUsedBlocks > 0).length === 3,
    );
    await Promise.all(answers);
    await eventually('blocks given back', async () =>
      [...loads.values()].every((load) => load.kvUsedBlocks === 0),
    );
    stop();
    await connection.stop();
  });

  test('serves on while the server is away, and all is found again after it forgot everything', async () => {
    let ended = false;
    const failures: string[] = [];
    const load = frontends.map(async (frontend, f) => {
      for (let turn = 0; !ended; turn++) {
        const answer = await ask(frontend, turn % 7, 100 * f + turn);
        if (answer.status !== 200) failures.push(`${answer.status} ${await answer.text()}`);
        else await answer.text();
      }
    });
    await nats.kill();
    await eventually('the loss to be noticed', async () => !(await health(frontends[0]!)).discovery.ok);
    // Longer than a lease: nobody may be given up for the server’s absence.
    await new Promise((resolve) => setTimeout(resolve, 1000 * LEASE_SECS + 500));
    expect(await instances(frontends[0]!)).toBe(3);
    await nats.resume();
    for (const frontend of frontends) {
      await eventually('the plane to be back', async () => (await health(frontend)).discovery.ok);
    }
    const probe = await start([...FRONTEND, '--router-id', 'probe']);
    await eventually('records written anew', async () => (await instances(probe)) === 3);
    await probe.process.kill();
    ended = true;
    await Promise.all(load);
    expect(failures).toEqual([]);
    await eventually('indexes equal to the caches', () => settled(workers));
  });

  test('loses a killed worker with its lease, or at the first failed request, and no request', async () => {
    const [killed] = workers.splice(0, 1);
    const before = await instances(frontends[0]!);
    await killed!.process.kill();
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, i) => ask(frontends[i % 2]!, i % 8, 1000 + i)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(200));
    for (const frontend of frontends)
      await eventually('two workers', async () => (await instances(frontend)) === before - 1, 10_000);
    // One that leaves in good order is gone long before its lease ends.
    const leaving = await start([...WORKER, '--lease-secs', '600']);
    await eventually('the newcomer', async () => (await instances(frontends[1]!)) === before);
    leaving.process.signal('SIGTERM');
    await eventually('its leaving', async () => (await instances(frontends[1]!)) === before - 1);
    expect(await leaving.process.exitCode()).toBe(0);
  });

  test('drops the bookings of a killed router, and tells its own to the one that comes back', async () => {
    const [one, two] = frontends as [Started, Started];
    const bookings = async ({ url }: Started): Promise<number> =>
      metricSum(await text(`${url}/metrics`), 'kvasir_replica_bookings');
    const lost = Array.from({ length: 4 }, (_, i) => ask(two, 50 + i, 0, 3000).catch(() => undefined));
    const kept = Array.from({ length: 3 }, (_, i) => ask(one, 60 + i, 0, 2000));
    await eventually(
      'bookings of both',
      async () => (await bookings(one)) === 4 && (await bookings(two)) === 3,
    );
    await two.process.kill();
    await Promise.all(lost);
    frontends[1] = await start([...FRONTEND, '--router-id', 'two']);
    const again = frontends[1];
    await eventually('a snapshot for the one that is back', async () => (await bookings(again)) === 3);
    await eventually('the old life to be forgotten', async () => (await bookings(one)) === 0);
    for (const answer of await Promise.all(kept)) expect(answer.status).toBe(200);
    await eventually('no bookings', async () => (await bookings(again)) === 0);
  });

  test('gives a standalone router that comes back the bookings of its former life', async () => {
    const ROUTER = ['router', '--discovery', 'nats', '--http-port', '0', '--router-replica-sync'];
    const named = (name: string) => start([...ROUTER, '--router-id', name, '--router-restore']);
    const tell = async ({ url }: Started, body: object): Promise<number> => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(`${url}/router`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
    };
    const booked = async ({ url }: Started): Promise<number> =>
      metricSum(await text(`${url}/metrics`), 'dynamo_frontend_worker_active_decode_blocks');
    const [first, peer] = await Promise.all([named('alone'), named('peer')]);
    for (const router of [first, peer])
      await eventually('workers', async () => (await instances(router)) > 0);
    const tokens = Array.from({ length: 640 }, (_, i) => 100_000 + i);
    await eventually(
      'a booking',
      async () => (await tell(first, { method: 'new', request_id: 'mine', tokens })) === 200,
    );
    await eventually('it at the peer', async () => (await booked(peer)) === 10);
    await first.process.kill();
    const again = await named('alone');
    await eventually('it at the router that is back', async () => (await booked(again)) === 10);
    expect(await booked(peer)).toBe(10);
    expect(await tell(again, { method: 'mark_free', request_id: 'mine' })).toBe(200);
    for (const router of [again, peer]) await eventually('its end', async () => (await booked(router)) === 0);
    for (const { process } of [again, peer]) await process.kill();
  });

  test('takes in a running engine through a sidecar that passes its events on', async () => {
    const ZMQ = ['--kv-events', 'tcp://127.0.0.1:0', '--replay', 'tcp://127.0.0.1:0'];
    const process = new KvasirProcess(['worker', '--http-port', '0', '--model', 'beside', ...ZMQ]);
    processes.push(process);
    const engine = (await process.json()) as Record<string, string>;
    const spec = `${engine.url},kv-events=${engine.kvEvents},replay=${engine.replay}`;
    const sidecar = await start([
      ...WORKER,
      '--engine',
      spec,
      '--event-plane',
      'nats',
      '--namespace',
      'side',
    ]);
    const frontend = await start([...FRONTEND, '--namespace', 'side', '--tokenizer', 'byte']);
    await eventually('the sidecar', async () => (await instances(frontend)) === 1);
    const body = { model: 'beside', prompt: 'p'.repeat(640), max_tokens: 2 };
    const request = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    };
    expect((await fetch(`${frontend.url}/v1/completions`, request)).status).toBe(200);
    await eventually('its cache', async () => {
      const metrics = await text(`${frontend.url}/metrics`);
      const indexed = metricSum(metrics, 'kvasir_index_resident_blocks');
      return indexed >= 10 && metricSum(metrics, 'kvasir_index_rank_state', 'state="exact"') === 1;
    });
    // An engine that stops to answer is taken out by its sidecar.
    await process.kill();
    await eventually('the engine to be missed', async () => (await instances(frontend)) === 0);
    await sidecar.process.kill();
  });
});
