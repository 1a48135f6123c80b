import { describe, expect, test } from 'vitest';
import { engineSettings } from './engine-settings.ts';
import { decodeNs, fixedTiming, interpolatedTiming, POLYNOMIAL_TIMING, prefillNs } from './timing.ts';
import { profileTiming } from './timing-profile.ts';

const grid = {
  prefillIsl: Float64Array.of(100, 200, 400),
  prefillTtftMs: Float64Array.of(10, 30, 40),
  decodeActiveKvTokens: Float64Array.of(0, 1000),
  decodeContextLength: Float64Array.of(100, 200, 300),
  decodeItlMs: Float64Array.of(5, 6, 8, 15, 18, 20),
};

describe('the timing models', () => {
  test('round the mean lengths of a batch down, as the reference does', () => {
    // 2 * (floor(15 / 2) - floor(5 / 2)) = 10 tokens.
    expect(POLYNOMIAL_TIMING.prefillMs(2, 15, 5)).toBeCloseTo(4.209989e-5 + 0.1518344 + 16.50142, 12);
    expect(POLYNOMIAL_TIMING.prefillMs(1, 8, 8)).toBe(0);
  });

  test('read decode off the share of the pool that contexts fill', () => {
    expect(POLYNOMIAL_TIMING.decodeMs(1, 64, 128)).toBeCloseTo(-25.74 / 4 + 54.01 / 2 + 5.74, 12);
    expect(POLYNOMIAL_TIMING.decodeMs(1, 500, 128)).toBeCloseTo(34.01, 12);
  });

  test('never decode in less than a millisecond, before the speed-up', () => {
    const settings = engineSettings({ timing: fixedTiming(0.5, 0.2), speedupRatio: 10 });
    expect(decodeNs(settings, 1, 10)).toBe(100_000);
    expect(prefillNs(settings, 1, 10, 0)).toBe(50_000);
  });

  test('take a speed-up of 0 for none', () => {
    const settings = engineSettings({ timing: fixedTiming(8, 4), speedupRatio: 0, decodeSpeedupRatio: 2 });
    expect(prefillNs(settings, 1, 10, 0)).toBe(8_000_000);
    expect(decodeNs(settings, 1, 10)).toBe(2_000_000);
  });

  test('interpolate a profile linearly, and extend its outer segments', () => {
    const timing = interpolatedTiming(grid);
    expect(timing.prefillMs(1, 150, 0)).toBe(20);
    expect(timing.prefillMs(3, 450, 150)).toBe(35);
    expect(timing.prefillMs(1, 600, 0)).toBe(50);
    expect(timing.prefillMs(1, 10, 0)).toBe(0);
  });

  test('interpolate decode over active tokens and mean context', () => {
    const timing = interpolatedTiming(grid);
    // 500 active tokens in 3 requests: context floor(500 / 3) = 166.
    const low = 5 + 0.66;
    const high = 15 + 3 * 0.66;
    expect(timing.decodeMs(3, 500, 0)).toBeCloseTo((low + high) / 2, 12);
  });

  test('read a profile by the names of its arrays, of which older files lack the unit', () => {
    const data = (values: Float64Array) => ({ data: values });
    const arrays = {
      prefill_isl: { data: BigInt64Array.of(100n, 200n, 400n) },
      prefill_ttft: data(grid.prefillTtftMs),
      decode_active_kv_tokens: data(grid.decodeActiveKvTokens),
      decode_context_length: data(grid.decodeContextLength),
      decode_itl: data(grid.decodeItlMs),
    };
    expect(profileTiming(arrays, 'p.npz').prefillMs(1, 150, 0)).toBe(20);
    const { prefill_ttft: _, ...incomplete } = arrays;
    expect(() => profileTiming(incomplete, 'p.npz')).toThrow(
      /p\.npz: holds no prefill_ttft_ms or prefill_ttft/,
    );
  });

  test('refuse a grid whose axes do not rise', () => {
    const flat = { ...grid, prefillIsl: Float64Array.of(100, 100, 400) };
    expect(() => interpolatedTiming(flat)).toThrow(/prefillIsl does not rise at index 1/);
  });
});
