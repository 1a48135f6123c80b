import { expect, test } from 'vitest';
import { rankPairs } from './ranking.ts';
import type { SlaProfile } from './result.ts';
import { selectCandidate } from './selection.ts';

/** A profile with one prefill engine and these decode points: gpus, ITL, tokens/s/GPU, uncertainty. */
function profileOf(itlMs: number, rows: readonly [number, number, number, number][]): SlaProfile {
  const prefill = [{ gpus: 1, mapping: { kind: 'tp', gpus: 1 }, latencyMs: 50, tokensPerSPerGpu: 20_000 }];
  const decode = rows.map(([gpus, latencyMs, tokensPerSPerGpu, uncertainty]) => ({
    gpus,
    mapping: { kind: 'tp', gpus },
    latencyMs,
    tokensPerSPerGpu,
    uncertainty,
    concurrency: 8,
  }));
  const recommendation = {
    prefill: selectCandidate(prefill, 100),
    decode: selectCandidate(decode, itlMs),
  };
  const target = { islTokens: 1000, oslTokens: 100, ttftMs: 100, itlMs };
  return { target, prefill, decode, recommendation } as unknown as SlaProfile;
}

const table = (profile: SlaProfile, price = 3): string[] =>
  rankPairs(profile, price).map((pair) => `tp${pair.decode.gpus} ${pair.verdict}`);

test('the recommended pair leads, the others follow by cost, those that miss last', () => {
  const profile = profileOf(20, [
    [1, 10, 1000, 0],
    [2, 8, 900, 0],
    [2, 25, 2000, 0],
  ]);
  expect(table(profile)).toEqual([
    'tp1 cheapest that meets both targets',
    'tp2 7.4 % dearer',
    'tp2 misses the ITL target',
  ]);
  // 0.05 + 0.1 GPU-seconds for 1100 tokens, at 3 dollars an hour.
  expect(rankPairs(profile, 3)[0]!.costPerMillionTokens).toBeCloseTo((0.15 * 3 * 1e6) / 3600 / 1100);
  expect(rankPairs(profile, 0)[0]!.costPerMillionTokens).toBe(0);
});

test('in a tie the pair on fewer GPUs leads, though the other measured cheaper', () => {
  expect(
    table(
      profileOf(20, [
        [1, 12, 990, 0.02],
        [2, 10, 1000, 0.02],
      ]),
    ),
  ).toEqual(['tp1 recommended, a tie on fewer GPUs', 'tp2 a tie (0.7 % cheaper)']);
});

test('the closest pair leads where nothing meets the targets', () => {
  expect(
    table(
      profileOf(5, [
        [1, 12, 2000, 0],
        [2, 10, 1000, 0],
      ]),
    ),
  ).toEqual(['tp2 closest, misses the ITL target', 'tp1 misses the ITL target']);
});
