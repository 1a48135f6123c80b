import { describe, expect, test } from 'vitest';
import { VirtualClock } from '../../base/clock.ts';
import { ActiveSequences } from './active-sequences.ts';
import { makeLoadModel } from './prefill-load-model.ts';

describe('the learned prefill load', () => {
  test('knows a pace after four prefills of some length, each rank its own', () => {
    const model = makeLoadModel({ prefillLoadModel: 'learned' })!;
    const predict = (rank: number) => model.durationMs({ rank, newTokens: 1000, isl: 1000 });
    for (let i = 0; i < 3; i++) model.observe!(0, 100, 50);
    model.observe!(0, 31, 9999);
    expect(predict(0)).toBeUndefined();
    model.observe!(0, 100, 50);
    expect(predict(0)).toBeCloseTo(500, 9);
    expect(predict(1)).toBeUndefined();
    model.observe!(0, 100, 150);
    expect(predict(0)).toBeCloseTo(600, 9);
    model.rankRemoved!(0);
    expect(predict(0)).toBeUndefined();
  });

  test('learns from first tokens and lets backlogs shrink', () => {
    const clock = new VirtualClock();
    const loadModel = makeLoadModel({ prefillLoadModel: 'learned' });
    const sequences = new ActiveSequences({
      clock,
      blockSize: 4,
      leaseMs: 1e6,
      trackOutputBlocks: false,
      loadModel,
    });
    for (let i = 0; i < 4; i++) {
      const request = sequences.add({ requestId: `r${i}`, rank: 0, blocks: 0, isl: 100, newTokens: 100 })!;
      clock.advanceTo(clock.nowMs() + 200);
      sequences.completePrefill(request);
      sequences.free(request);
    }
    sequences.add({ requestId: 'next', rank: 0, blocks: 0, isl: 100, newTokens: 100 });
    clock.advanceTo(clock.nowMs() + 50);
    expect(sequences.prefillTokens(0)).toBe(75);
    sequences.stop();
  });

  test('is named none, learned, or one from outside', () => {
    expect(makeLoadModel({ prefillLoadModel: 'none' })).toBeUndefined();
    expect(() => makeLoadModel({ prefillLoadModel: 'aic' })).toThrow('--router-prefill-load-model');
  });
});
