import { describe, expect, test } from 'vitest';
import { exponential, hash32, SeededRandom } from './random.ts';

const draw = (random: SeededRandom, count: number): number[] =>
  Array.from({ length: count }, () => random.next());

describe('SeededRandom', () => {
  test('repeats for a seed and differs between streams', () => {
    expect(draw(new SeededRandom(7), 5)).toEqual(draw(new SeededRandom(7), 5));
    expect(draw(new SeededRandom(7), 5)).not.toEqual(draw(new SeededRandom(7, 1), 5));
  });

  test('is uniform: ten bins of 100,000 draws stay within five standard deviations', () => {
    const bins = new Array<number>(10).fill(0);
    for (const value of draw(new SeededRandom(1), 100_000)) bins[Math.floor(value * 10)]!++;
    const deviation = Math.sqrt(100_000 * 0.1 * 0.9);
    for (const bin of bins) expect(Math.abs(bin - 10_000)).toBeLessThan(5 * deviation);
  });

  test('draws integers over their whole range and nothing beyond', () => {
    const random = new SeededRandom(3);
    const seen = new Set(Array.from({ length: 1_000 }, () => random.nextInt(6)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('draws exponentials of the asked mean', () => {
    const random = new SeededRandom(5);
    const mean =
      Array.from({ length: 50_000 }, () => exponential(random, 4)).reduce((sum, value) => sum + value, 0) /
      50_000;
    expect(mean).toBeGreaterThan(3.9);
    expect(mean).toBeLessThan(4.1);
  });
});

test('hash32 depends on every input and on nothing else', () => {
  expect(hash32(1, 2, 3)).toBe(hash32(1, 2, 3));
  expect(new Set([hash32(1, 2, 3), hash32(2, 2, 3), hash32(1, 3, 3), hash32(1, 2, 4)]).size).toBe(4);
});
