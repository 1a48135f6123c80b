import { describe, expect, test } from 'vitest';
import { profileSla } from '../../test/support/profile-sla.ts';
import { DEFAULT_MODEL } from '../perf/analytic-model.ts';
import type { LoadTrial, ServedRequest } from '../sla-profiler/validation.ts';
import { poissonWorkload, simulatedLoad } from './serve-load.ts';

const trial = (ratePerS: number, requests = 400): LoadTrial => ({
  prefill: { mapping: { kind: 'tp', gpus: 1 }, engines: 1 },
  decode: { mapping: { kind: 'tp', gpus: 2 }, engines: 1 },
  ratePerS,
  requests,
  target: { islTokens: 1000, oslTokens: 50, ttftMs: 200, itlMs: 20 },
  seed: 3,
});
const NEVER = new AbortController().signal;
const serve = async (one: LoadTrial): Promise<readonly ServedRequest[]> => {
  const [served] = await simulatedLoad(DEFAULT_MODEL, NEVER).serve([one]);
  return served!;
};
const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

describe('the load of a validation', () => {
  test('arrives at the rate and with the lengths that were asked for', () => {
    const { requests, sessions } = poissonWorkload(trial(10, 4000));
    expect(sessions.at(-1)!.arrivalMs / 4000).toBeCloseTo(100, -1);
    expect(mean(requests.map(({ inputLength }) => inputLength)) / 1000).toBeCloseTo(1, 1);
    expect(mean(requests.map(({ outputLength }) => outputLength)) / 50).toBeCloseTo(1, 1);
  });

  test('meets the sweep’s times when nothing waits, and a queue near capacity', async () => {
    // One GPU prefills 1000 tokens in 67.5 ms, so it takes 14.8 requests/s.
    const p99 = async (ratePerS: number): Promise<number> => {
      const served = await serve(trial(ratePerS));
      const sorted = served.map(({ ttftMs }) => ttftMs!).sort((a, b) => a - b);
      return sorted[Math.floor(0.99 * sorted.length)]!;
    };
    const idle = (await serve(trial(0.2, 100))).map(({ ttftMs }) => ttftMs!);
    expect(mean(idle) / 67.5).toBeGreaterThan(0.9);
    expect(mean(idle) / 67.5).toBeLessThan(1.15);
    // M/D/1: at 90 % of capacity requests wait 4.5 services on average, at 30 % hardly.
    expect(await p99(14.8 * 0.9)).toBeGreaterThan(2 * (await p99(14.8 * 0.3)));
  });

  test('repeats exactly', async () => {
    expect(await serve(trial(8))).toEqual(await serve(trial(8)));
  });
});

describe('profile sla', () => {
  test('tells the goodput of what it recommends, falling with the rate', async () => {
    const { summary, logged } = await profileSla({ validate: true, ttft: 40, itl: 20 });
    const { rates, promised_requests_per_s: promised, served_requests_per_s: served } = summary.goodput;
    expect(rates.map((rate: { load_share: number }) => rate.load_share)).toEqual([
      0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1,
    ]);
    expect(rates[0].good_share).toBeGreaterThan(0.95);
    expect(rates.at(-1).good_share).toBeLessThan(rates[0].good_share);
    expect(served).toBeLessThan(promised);
    expect(logged).toContain(`up to ${served.toFixed(2)} requests/s`);
  });
});
