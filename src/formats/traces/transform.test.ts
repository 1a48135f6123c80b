import { describe, expect, test } from 'vitest';
import { parseTrace } from './parse-trace.ts';
import {
  deepenPrefixes,
  duplicateHashSpace,
  normalise,
  partitionBySession,
  rescaleTo,
  speedUp,
} from './transform.ts';

const trace = parseTrace(
  [
    { timestamp: 100, session_id: 'a', input_length: 600, output_length: 1, hash_ids: [0, 1] },
    { timestamp: 300, input_length: 512, output_length: 1, hash_ids: [0] },
    { session_id: 'a', delay: 50, input_length: 1024, output_length: 1, hash_ids: [0, 2] },
    { timestamp: 500, input_length: 1, output_length: 1, hash_ids: [3] },
  ].map((row) => JSON.stringify(row)),
);
const times = (of: typeof trace) => of.rows.map((row) => row.timestampMs);

describe('transforms of a trace', () => {
  test('normalise moves the first arrival to 0', () => {
    expect(times(normalise(trace))).toEqual([0, 200, undefined, 400]);
  });

  test('speed-up divides arrivals and delays', () => {
    const fast = speedUp(normalise(trace), 4);
    expect(times(fast)).toEqual([0, 50, undefined, 100]);
    expect(fast.rows[2]?.delayMs).toBe(12.5);
    expect(() => speedUp(trace, 0)).toThrow('speed-up: 0 is not a positive number');
  });

  test('rescaling puts the last arrival at the asked span', () => {
    expect(times(rescaleTo(trace, 1000))).toEqual([0, 500, undefined, 1000]);
  });

  test('copies of the hash space share nothing with each other', () => {
    const twice = duplicateHashSpace(trace, 2);
    expect(twice.rows).toHaveLength(8);
    expect(twice.rows[1]?.hashIds).toEqual([4, 5]);
    expect(twice.rows[1]?.sessionId).toBe('a~1');
    expect(twice.rows[5]?.sessionId).toBe('a~1');
  });

  test('deeper prefixes keep the unfilled tail of the last block', () => {
    const deep = deepenPrefixes(trace, 2);
    expect(deep.rows[0]).toMatchObject({ hashIds: [0, 1, 2, 3], inputLength: 2048 - 424 });
    expect(deep.rows[2]).toMatchObject({ hashIds: [0, 1, 4, 5], inputLength: 2048 });
  });

  test('partitioning never cuts a session', () => {
    const parts = partitionBySession(trace, 2);
    expect(parts.map((part) => part.rows.map((row) => row.line))).toEqual([[1, 3, 4], [2]]);
  });
});
