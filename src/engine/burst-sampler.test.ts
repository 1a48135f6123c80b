import { describe, expect, test } from 'vitest';
import { BurstSampler, ChaCha12 } from './burst-sampler.ts';

describe('speculative bursts', () => {
  test('draw from ChaCha12 as the reference does', () => {
    const random = new ChaCha12(42n);
    expect([random.nextU64(), random.nextU64()]).toEqual([9713269763989775522n, 10011513049433592189n]);
  });

  test('accept drafts in order until the first reject', () => {
    const sampler = new BurstSampler({ draftTokens: 2, acceptRates: [0.8, 0.5], seed: 42 }, 0);
    const bursts = Array.from({ length: 12 }, () => sampler.next());
    expect(bursts).toEqual([2, 3, 3, 2, 3, 1, 3, 2, 3, 3, 2, 2]);
  });

  test('draw nothing for a rate of 1', () => {
    const sure = new BurstSampler({ draftTokens: 3, acceptRates: [1, 0.8, 0.5], seed: 42 }, 0);
    const rest = new BurstSampler({ draftTokens: 2, acceptRates: [0.8, 0.5], seed: 42 }, 0);
    for (let i = 0; i < 50; i++) expect(sure.next()).toBe(rest.next() + 1);
  });

  test('differ between the ranks of a fleet', () => {
    const settings = { draftTokens: 2, acceptRates: [0.8, 0.5], seed: 42 };
    const bursts = (stream: number): number[] => {
      const sampler = new BurstSampler(settings, stream);
      return Array.from({ length: 40 }, () => sampler.next());
    };
    expect(bursts(0)).not.toEqual(bursts(1));
    expect(bursts(1)).toEqual(bursts(1));
  });
});
