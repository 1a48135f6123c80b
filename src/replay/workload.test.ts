import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { drawnTokens, idRange } from '../engine/answer-tokens.ts';
import { engineSettings } from '../engine/engine-settings.ts';
import { EngineWorker } from '../engine/engine-worker.ts';
import { fixedTiming } from '../engine/timing.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { BlockHasher } from '../kv/hash.ts';
import { infiniteCacheKve } from './cache-bound.ts';
import { retimed } from './retiming.ts';
import { promptOf, workloadOf } from './workload.ts';

interface Expanded {
  readonly row: object;
  readonly canonical: number[];
  readonly effective_input: number;
  readonly reused: number;
  readonly stored_parent: string | null;
  readonly stored: [string, string][];
}

const { rows } = JSON.parse(
  readFileSync(new URL('../../test/golden/workload/expansion.json', import.meta.url), 'utf8'),
) as { rows: Expanded[] };
const trace = parseTrace(
  rows.map(({ row }) => JSON.stringify(row)),
  { format: 'mooncake', repair: true },
);
const hasher = new BlockHasher();
const line = (timestamp: number, more: object = {}): string =>
  JSON.stringify({ timestamp, input_length: 10, output_length: 1, hash_ids: [timestamp], ...more });

describe('a workload made from a trace', () => {
  test('stores the blocks in an engine that the reference stores, and finds what it finds', () => {
    const settings = engineSettings({ timing: fixedTiming(10, 2), emitKvEvents: true });
    const answer = drawnTokens(0, idRange(0, 10));
    const rank = new EngineWorker({ settings, hasher, answer, stream: 0, snapshots: false }).ranks[0]!;
    const workload = workloadOf(trace);
    const actual = workload.requests.map((request) => {
      const prompt = promptOf(request, workload.traceBlockSize);
      rank.submit({ id: String(request.index), prompt, maxOutputTokens: 1 });
      const pass = rank.pass(request.index * 1e9);
      const event = pass.events.find((each) => each.event.kind === 'stored')?.event;
      if (event?.kind !== 'stored') throw new Error('nothing was stored');
      return {
        effective_input: prompt.length,
        reused: pass.admissions[0]!.reusedTokens,
        stored_parent: event.parentHash === undefined ? null : String(event.parentHash),
        stored: Array.from(event.blockHashes, (hash, i) => [String(hash), String(event.localHashes[i])]),
      };
    });
    expect(actual).toEqual(rows.map(({ row: _, canonical: __, ...expected }) => expected));
  });

  test('has an infinite-cache bound that one request at a time reaches', () => {
    const settings = engineSettings({ timing: fixedTiming(10, 2) });
    const input = rows.reduce((sum, { effective_input }) => sum + effective_input, 0);
    const reused = rows.reduce((sum, { reused: tokens }) => sum + tokens, 0);
    expect(infiniteCacheKve(workloadOf(trace), settings, hasher)).toBeCloseTo(reused / input, 12);
  });

  test('gives prompts without ids nothing in common', () => {
    const text =
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,128,5\n2023-11-16 18:15:50.9951690,128,5\n';
    const workload = workloadOf(parseTrace(text));
    const [first, second] = workload.requests.map(
      (request) => promptOf(request, 512).hashes(hasher, 64).local,
    );
    expect(new Set([...first!, ...second!]).size).toBe(4);
  });

  test('regenerates any part of a prompt', () => {
    const workload = workloadOf(
      parseTrace(
        [JSON.stringify({ timestamp: 0, input_length: 1300, output_length: 1, hash_ids: [5, 6, 5] })],
        { format: 'mooncake' },
      ),
    );
    const prompt = promptOf(workload.requests[0]!, 512);
    expect([...prompt.tokens(510, 514)]).toEqual([0, 0, 1, 1]);
    expect([...prompt.tokens(1022, 1026)]).toEqual([1, 1, 0, 0]);
  });
});

describe('re-timing', () => {
  const stamps = [0, 0, 0, 3000, 3000, 9000];
  const workload = workloadOf(
    parseTrace(
      stamps.map((stamp) => line(stamp)),
      { format: 'mooncake' },
    ),
  );

  test('spreads what one stamp lumps together, up to the next stamp, and keeps the counts', () => {
    const arrivals = retimed(workload, 1).sessions.map(({ arrivalMs }) => arrivalMs);
    expect(arrivals[0]).toBe(0);
    expect([...arrivals].sort((a, b) => a - b)).toEqual(arrivals);
    const offset = retimed(workload, 1).sessions;
    expect(new Set(arrivals).size).toBe(6);
    expect(
      offset
        .slice(0, 3)
        .flatMap(({ turns }) => turns.map(({ index }) => index))
        .sort(),
    ).toEqual([0, 1, 2]);
    expect(
      offset
        .slice(3, 5)
        .flatMap(({ turns }) => turns.map(({ index }) => index))
        .sort(),
    ).toEqual([3, 4]);
  });

  test('is the same for the same seed and another for another', () => {
    const times = (seed: number): number[] =>
      retimed(workload, seed).sessions.map(({ arrivalMs }) => arrivalMs);
    expect(times(2)).toEqual(times(2));
    expect(times(2)).not.toEqual(times(3));
  });
});
