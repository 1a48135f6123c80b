import { describe, expect, test } from 'vitest';
import { BIG_JSON } from '../base/big-json.ts';
import { VirtualClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from '../kv/config.ts';
import type { KvEvent } from '../kv/event.ts';
import { BlockHasher } from '../kv/hash.ts';
import { NaiveIndex } from '../kv/index/naive-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { dumpOf, readDump } from './index-dump.ts';

const BIGGEST = '18446744073709551615';

function makePartition() {
  const index = new NaiveIndex();
  const config = routerConfig();
  const router = new KvRouter({
    blockSize: 16,
    clock: new VirtualClock(),
    random: new SeededRandom(1),
    config,
    index,
  });
  return { router, index };
}

const chain = (tier?: 'host_pinned'): KvEvent => ({
  kind: 'stored',
  parentHash: undefined,
  blockHashes: BigUint64Array.of(1n, 2n ** 64n - 1n),
  localHashes: BigUint64Array.of(11n, 2n ** 63n),
  ...(tier && { tier }),
});

describe('a dump', () => {
  test('restores ranks, tiers and hashes up to 2^64, through JSON too', async () => {
    const { router } = makePartition();
    router.addWorker({ workerId: BIGGEST, dpSize: 2 });
    const key = (dpRank: number) => ({ workerId: BIGGEST, dpRank });
    router.intake.open(key(0), { snapshot: async () => ({ lastSeq: 41, events: [chain()] }) });
    router.intake.open(key(1), { snapshot: async () => ({ lastSeq: 7, events: [chain('host_pinned')] }) });
    await new Promise((resolve) => setImmediate(resolve));
    const dump = dumpOf(router);
    expect(dump.last_seqs).toEqual({ [`${BIGGEST}:0`]: 41, [`${BIGGEST}:1`]: 7 });
    const text = BIG_JSON.stringify({ 'm:default': dump });
    const { blockSize, ranks } = readDump(BIG_JSON.parse(text), 'a peer').get('m:default')!;
    expect(blockSize).toBe(16);
    expect(ranks).toEqual([
      { key: key(0), lastSeq: 41, events: [expect.objectContaining(chain())] },
      { key: key(1), lastSeq: 7, events: [expect.objectContaining(chain('host_pinned'))] },
    ]);
  });

  test('has the blocks of lower tiers that follow a lost one, which count again with it', async () => {
    const ids = (...numbers: number[]) => BigUint64Array.from(numbers.map(BigInt));
    const stored = (
      tier: 'device' | 'host_pinned',
      parent: bigint | undefined,
      ...numbers: number[]
    ): KvEvent => ({
      kind: 'stored',
      tier,
      parentHash: parent,
      blockHashes: ids(...numbers),
      localHashes: ids(...numbers.map((number) => 100 + number)),
    });
    const key = { workerId: '1', dpRank: 0 };
    const load = async (events: readonly KvEvent[]) => {
      const { router } = makePartition();
      router.addWorker({ workerId: '1' });
      const stream = router.intake.open(key, { snapshot: async () => ({ lastSeq: 0, events }) });
      await new Promise((resolve) => setImmediate(resolve));
      return { router, stream };
    };
    const first = await load([stored('device', undefined, 1), stored('host_pinned', 2n, 3, 4)]);
    expect([...first.router.intake.heldBlocks(key)].sort()).toEqual([1n, 3n, 4n]);
    const { ranks } = readDump({ 'm:g': dumpOf(first.router) }, 'a peer').get('m:g')!;
    const { router, stream } = await load(ranks[0]!.events);
    expect(router.intake.of(router.fleet.rankOf(key)!).state).toBe('exact');
    stream.deliver({ seq: 1, events: [stored('device', 1n, 2)] });
    const sequence = new BlockHasher().chain(ids(101, 102, 103, 104));
    expect(router.inspect({ requestId: 'r', hashes: { sequence }, isl: 64 })).toMatchObject([
      { deviceBlocks: 2, hostPinnedBlocks: 2 },
    ]);
  });

  test('of Dynamo has no numbers of batches, and may hold signed hashes', () => {
    const event = {
      worker_id: 3,
      event: {
        event_id: 0,
        data: { stored: { parent_hash: null, blocks: [{ block_hash: -1, tokens_hash: -2 }] } },
      },
    };
    const dump = {
      'm:g': { block_size: 4, events: [event, { worker_id: 3, event: { event_id: 1, data: {} } }] },
    };
    const [rank] = readDump(dump, 'a peer').get('m:g')!.ranks;
    expect(rank).toMatchObject({ key: { workerId: '3', dpRank: 0 }, lastSeq: -1 });
    expect(rank!.events).toHaveLength(1);
    expect(rank!.events[0]).toMatchObject({ blockHashes: BigUint64Array.of(2n ** 64n - 1n) });
  });

  test.each([[{ m: {} }], [{ m: { block_size: 4 } }], [{ m: { block_size: 'x', events: [] } }]])(
    'that is none is refused: %j',
    (dump) => {
      expect(() => readDump(dump, 'http://peer/dump')).toThrow(/http:\/\/peer\/dump/);
    },
  );

  test('of nothing is nothing', () => {
    expect(readDump({}, 'a peer').size).toBe(0);
    expect(readDump(null, 'a peer').size).toBe(0);
  });
});
