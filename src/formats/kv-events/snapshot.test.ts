import { describe, expect, test } from 'vitest';
import { readSnapshot, snapshotBody } from './snapshot.ts';

describe('a snapshot of held blocks', () => {
  const ranks = [
    {
      dpRank: 1,
      lastSeq: 41,
      events: [
        {
          kind: 'stored',
          blockHashes: BigUint64Array.of(2n ** 64n - 1n, 7n),
          parentHash: 2n ** 63n,
          tokenIds: Uint32Array.of(1, 2, 3, 2 ** 32 - 1),
          blockSize: 2,
          medium: 'GPU',
          cacheSalt: 'tenant',
        } as const,
      ],
    },
    { dpRank: 0, lastSeq: -1, events: [] },
  ];

  test('survives JSON without a digit lost', () => {
    expect(readSnapshot(JSON.parse(JSON.stringify(snapshotBody(ranks))), 'http://w')).toEqual(ranks);
  });

  test.each([
    [null, /no ranks/],
    [{ ranks: [{}] }, /a rank without/],
    [{ ranks: [{ dp_rank: 0, last_seq: 1, events: [{}] }] }, /an event without/],
    [
      { ranks: [{ dp_rank: 0, last_seq: 1, events: [{ block_hashes: [5], token_ids: [], block_size: 4 }] }] },
      /the hash 5/,
    ],
    [
      {
        ranks: [
          { dp_rank: 0, last_seq: 1, events: [{ block_hashes: ['5'], token_ids: [1], block_size: 4 }] },
        ],
      },
      /1 tokens for 1 blocks of 4/,
    ],
  ])('of another form is refused: %j', (body, reason) => {
    expect(() => readSnapshot(body, 'http://w')).toThrow(reason);
  });
});
