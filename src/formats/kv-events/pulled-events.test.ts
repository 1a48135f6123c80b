import { describe, expect, test } from 'vitest';
import { PulledEventReader } from './pulled-events.ts';

const token = (token_id: number) => ({ type: 'unique_token', token_id, token_extra_id: 0 });
const block = (hash: number | bigint, ids: readonly number[], cache_level = 0) => ({
  type: 'stored_block',
  block_hash: hash,
  tokens: ids.map(token),
  cache_level,
  priority: 35,
});
const event = (event_id: number, data: object, window_size = 2048, more: object = {}) => ({
  event_id,
  window_size,
  data,
  ...more,
});
const created = (id: number, window?: number) =>
  event(id, { type: 'created', num_blocks_per_cache_level: [100, 10] }, window);
const stored = (parent_hash: number | bigint | null, ...blocks: object[]) => ({
  type: 'stored',
  parent_hash,
  blocks,
});
const HUGE = 18_000_000_000_000_000_000n;

describe('events that TensorRT-LLM hands out', () => {
  test('become those of other engines: full blocks only, hashes whole', () => {
    const reader = new PulledEventReader(2);
    const [batch] = reader.read([
      created(0),
      event(1, stored(null, block(HUGE, [1, 2]), block(-5, [3, 4]), block(9, [5]))),
      event(2, { type: 'removed', block_hashes: [9, HUGE] }),
    ]);
    expect(batch).toEqual({
      dpRank: 0,
      after: 'nothing',
      events: [
        {
          kind: 'stored',
          blockHashes: BigUint64Array.of(HUGE, 2n ** 64n - 5n),
          parentHash: undefined,
          tokenIds: Uint32Array.of(1, 2, 3, 4),
          blockSize: 2,
        },
        { kind: 'removed', blockHashes: BigUint64Array.of(HUGE), medium: 'GPU' },
      ],
    });
  });

  test('of blocks that go to host memory and come back say so, and where they were removed', () => {
    const reader = new PulledEventReader(2);
    reader.read([created(0), event(1, stored(null, block(7, [1, 2])))]);
    const to = (id: number, new_value: number) =>
      event(id, {
        type: 'updated',
        block_hash: 7,
        cache_level: { type: 'event_diff', old_value: 1 - new_value, new_value },
      });
    const moved = reader.read([to(2, 1)])[0]?.events;
    expect(moved).toMatchObject([
      { kind: 'stored', medium: 'CPU_PINNED', tokenIds: new Uint32Array(0) },
      { kind: 'removed', medium: 'GPU' },
    ]);
    const gone = reader.read([event(3, { type: 'removed', block_hashes: [7] })])[0]?.events;
    expect(gone).toMatchObject([{ kind: 'removed', medium: 'CPU_PINNED' }]);
  });

  test('of smaller windows of attention, and of tokens that are more than their ids, are left out', () => {
    const reader = new PulledEventReader(1);
    reader.read([created(0, 128), created(1, 4096)]);
    expect(reader.read([event(2, stored(null, block(1, [1])), 128)])[0]?.events).toEqual([]);
    const picture = { ...block(2, []), tokens: [{ token_id: 5, token_extra_id: 77 }] };
    const [batch] = reader.read([event(3, stored(null, block(1, [1]), picture, block(3, [3])), 4096)]);
    expect(batch?.events).toMatchObject([{ blockHashes: BigUint64Array.of(1n) }]);
  });

  test('tell of losses and restarts, each rank for itself', () => {
    const reader = new PulledEventReader(1);
    const rank = { attention_dp_rank: 1 };
    expect(reader.read([created(0), event(3, stored(null, block(1, [1])), 2048, rank)])).toMatchObject([
      { dpRank: 0, after: 'nothing' },
      { dpRank: 1, after: 'loss' },
    ]);
    expect(reader.read([event(1, stored(null, block(2, [2])))])[0]?.after).toBe('nothing');
    expect(reader.read([event(5, stored(null, block(3, [3])))])[0]?.after).toBe('loss');
    expect(reader.read([created(0), event(1, stored(null, block(4, [4])))])).toMatchObject([
      { after: 'restart', events: [{ blockHashes: BigUint64Array.of(4n) }] },
    ]);
  });

  test('that are malformed cost only themselves', () => {
    const reader = new PulledEventReader(undefined);
    const odd = [
      null,
      7,
      { event_id: 'x' },
      { event_id: 0, data: { type: 'odd' } },
      { event_id: 1, data: stored(null) },
    ];
    expect(reader.read(odd)[0]?.events).toEqual([]);
    expect(reader.malformed).toBe(4);
    expect(reader.read('nothing')).toEqual([]);
    expect(
      reader.read([event(2, stored(null, block(1, [1, 2, 3]), block(2, [4, 5, 6]), block(3, [7])))]),
    ).toMatchObject([{ events: [{ blockSize: 3, blockHashes: BigUint64Array.of(1n, 2n) }] }]);
  });
});
