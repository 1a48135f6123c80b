import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { SILENT_LOG } from '../../base/log.ts';
import { SeededRandom } from '../../base/random.ts';
import { routerConfig } from '../../kv/config.ts';
import { BlockHasher } from '../../kv/hash.ts';
import { NaiveIndex } from '../../kv/index/naive-index.ts';
import { KvRouter } from '../../kv/kv-router.ts';
import { HttpClient } from '../../transport/http-client.ts';
import { Peers } from '../peers.ts';
import { SelectionService } from './selection-service.ts';
import { WorkerCatalog } from './worker-catalog.ts';

const KEY = { modelName: 'm', routingGroup: 'default' };
const asked = (first: number) => ({ tokens: Uint32Array.from({ length: 40 }, (_, i) => first + i) });

function makeService() {
  const clock = new VirtualClock();
  const config = routerConfig();
  const catalog = new WorkerCatalog({
    follow: () => () => {},
    makePartition: (_key, blockSize) => {
      const index = new NaiveIndex();
      return {
        router: new KvRouter({ blockSize, clock, random: new SeededRandom(1), config, index }),
        index,
      };
    },
    peers: new Peers(new HttpClient(), SILENT_LOG),
  });
  const service = new SelectionService({
    clock,
    hasher: new BlockHasher(),
    catalog,
    weights: config.weights,
  });
  const worker = (worker_id: string) =>
    catalog.put({
      worker_id,
      model_name: 'm',
      routing_group: 'default',
      endpoint: `http://w${worker_id}`,
      block_size: 16,
    });
  const requests = () =>
    (service.loads({})[0] as { loads: { active_requests: number }[] }).loads.map(
      (rank) => rank.active_requests,
    );
  return { clock, catalog, service, worker, requests };
}

describe('the selection service', () => {
  test('books a choice within two minutes, once, and never after', () => {
    const { clock, service, worker, requests } = makeService();
    worker('1');
    const select = (id: string, first: number): unknown => service.select(KEY, asked(first), id);
    expect(select('a', 0)).toMatchObject({ worker_id: 1n, effective_prefill_tokens: 40 });
    select('b', 1000);
    expect(requests()).toEqual([0]);
    expect(service.reserveSelected(KEY, 'a')).toMatchObject({ selection_id: 'a', worker_id: 1n });
    expect(requests()).toEqual([1]);
    expect(() => service.reserveSelected(KEY, 'a')).toThrow(/selection a/);
    clock.advanceTo(120_000);
    expect(() => service.reserveSelected(KEY, 'b')).toThrow(/selection b/);
    expect(requests()).toEqual([1]);
  });

  test('frees a booking that shows no sign of life for five minutes, and lets a live one be', () => {
    const { clock, service, worker, requests } = makeService();
    worker('1');
    for (const [id, first] of [
      ['silent', 0],
      ['live', 1000],
    ] as const) {
      service.select(KEY, asked(first), id);
      service.reserveSelected(KEY, id);
    }
    for (let minute = 1; minute <= 7; minute++) {
      clock.advanceTo(60_000 * minute);
      service.booking('live').outputBlock(undefined);
    }
    expect(requests()).toEqual([1]);
    expect(() => service.booking('silent')).toThrow(/reservation silent/);
    service.booking('live').free();
    expect(requests()).toEqual([0]);
  });

  test('forgets bookings and choices of a worker that leaves', () => {
    const { catalog, service, worker } = makeService();
    worker('1');
    worker('2');
    service.select(KEY, { ...asked(0), controls: { workerId: '1' } }, 'a');
    catalog.remove('1');
    expect(() => service.reserveSelected(KEY, 'a')).toThrow(/worker 1/);
    expect(service.select(KEY, asked(0), undefined)).toMatchObject({ worker_id: 2n });
    catalog.remove('2');
    expect(() => service.select(KEY, asked(0), undefined)).toThrow(/no worker of m:default/);
    expect(service.ready()).toMatchObject({ ready: false, schedulable_workers: 0 });
  });
});
