import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type BypassFacts, bypassesPrefill, potentialDecodeBlocks } from './conditional-prefill.ts';

const golden = JSON.parse(readFileSync(new URL('../../test/golden/router.json', import.meta.url), 'utf8'));

interface GoldenBlocks {
  readonly isl: number;
  readonly bs: number;
  readonly active: number;
  readonly token_seq_blocks: number | null;
  readonly additional: number;
  readonly expect: number;
}

describe('blocks after admission', () => {
  test.each(golden.potential_decode_blocks_after_admission as GoldenBlocks[])('are $expect', (vector) => {
    const blocks = potentialDecodeBlocks({
      isl: vector.isl,
      blockSize: vector.bs,
      activeBlocks: vector.active,
      trackedBlocks: vector.token_seq_blocks ?? undefined,
      additionalBlocks: vector.additional,
    });
    expect(blocks).toBe(vector.expect);
  });
});

describe('the remote prefill', () => {
  const facts: BypassFacts = {
    isl: 4000,
    cachedTokens: 2000,
    prefillBusy: false,
    decodeBlocks: 90,
    totalBlocks: 100,
    decodeBlocksThreshold: 0.9,
  };

  test('is skipped for prompts of which little is new', () => {
    expect(bypassesPrefill('isl_bounding', facts)).toBe(true);
    expect(bypassesPrefill('isl_bounding', { ...facts, cachedTokens: 1952 })).toBe(false);
    expect(bypassesPrefill('isl_bounding', { ...facts, isl: 1000, cachedTokens: 300 })).toBe(false);
    expect(bypassesPrefill('isl_bounding', { ...facts, isl: 1000, cachedTokens: 301 })).toBe(true);
  });

  test('is skipped when prefill is busy', () => {
    const busy = { ...facts, cachedTokens: 0, prefillBusy: true };
    expect(bypassesPrefill('prefill_load', busy)).toBe(true);
    expect(bypassesPrefill('prefill_load', facts)).toBe(false);
    expect(bypassesPrefill('isl_or_load', busy)).toBe(true);
    expect(bypassesPrefill('isl_or_load', facts)).toBe(true);
    expect(bypassesPrefill('isl_bounding', busy)).toBe(false);
  });

  test('is never skipped when the decode rank has no room, or nobody knows', () => {
    expect(bypassesPrefill('isl_or_load', { ...facts, decodeBlocks: 91 })).toBe(false);
    expect(bypassesPrefill('isl_or_load', { ...facts, totalBlocks: undefined })).toBe(false);
    expect(bypassesPrefill('off', facts)).toBe(false);
  });
});
