import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import { slowMean } from '../../../test/support/slow-percentile.ts';
import { CacheWhatIfCollector } from './cache-what-if.ts';

const BLOCK_BYTES = 64;
/** A block of 64 bytes made of one character. */
const block = (character: string): string => character.repeat(BLOCK_BYTES / Buffer.byteLength(character));

interface Call {
  readonly startS: number;
  readonly model: string;
  readonly characters: readonly string[];
  /** Bytes after the last whole block. */
  readonly tail: number;
  /** Undefined: none reported. */
  readonly tokens: number | undefined;
}

const call = fc.record<Call>({
  startS: fc.nat(20),
  model: fc.constantFrom('m', 'm', 'n'),
  characters: fc.array(fc.constantFrom('a', 'b', 'é', '😀'), { maxLength: 5 }),
  tail: fc.constantFrom(0, 0, 1, 63),
  tokens: fc.constantFrom(undefined, 0, 1, 5, 16, 40, 100),
});

const bytesOf = ({ characters, tail }: Call) => characters.length * BLOCK_BYTES + tail;
const tokensOf = (of: Call) => of.tokens || Math.ceil(bytesOf(of) / 4);
/** What each whole block of the prompt stands for. */
const blockTokensOf = (of: Call) => (tokensOf(of) * BLOCK_BYTES) / bytesOf(of);

/** A cache that really holds so many blocks, least recently used out first, the end of a prompt before its head. */
function slowSaved(calls: readonly Call[], capacity: number): number {
  let cache: readonly string[] = [];
  let saved = 0;
  for (const next of [...calls].sort((a, b) => a.startS - b.startS)) {
    const heads = next.characters.map((_, i) => `${next.model}:${next.characters.slice(0, i + 1).join('')}`);
    const missed = heads.findIndex((head) => !cache.includes(head));
    saved += (missed < 0 ? heads.length : missed) * (heads.length === 0 ? 0 : blockTokensOf(next));
    for (const head of heads.reverse())
      cache = [head, ...cache.filter((other) => other !== head)].slice(0, capacity);
  }
  return saved;
}

describe('the cache what-if', () => {
  test('equals a cache that is really kept, at every size, however many tokens a block stands for', () => {
    const sizes = fc.array(fc.nat(200), { maxLength: 6 });
    const property = fc.property(
      fc.array(call, { maxLength: 14 }),
      sizes,
      fc.nat(14),
      (calls, tokens, cut) => {
        const collector = new CacheWhatIfCollector();
        for (const request of [calls.slice(0, cut), calls.slice(cut)]) {
          const rows = request.flatMap(({ startS, model: name, characters, tail, tokens: prompt }, i) => {
            const input = characters.map(block).join('') + 't'.repeat(tail);
            const reported =
              prompt === undefined ? {} : { tokens: { prompt_tokens: prompt, cached_tokens: 1 } };
            return [
              ['LLM_START', startS, `u${i}`, { name, input }] as const,
              ['LLM_END', startS + 1, `u${i}`, { name, ...reported }] as const,
            ];
          });
          if (rows.length > 0) collector.add(traceOf(...rows));
        }
        const whole = calls.flatMap((one) => one.characters.map(() => blockTokensOf(one)));
        const fits = tokens.map((size) =>
          whole.length === 0 ? 0 : Math.floor(size / slowMean(whole) + 1e-9),
        );
        const slow = [...fits, Number.POSITIVE_INFINITY].map((capacity) => slowSaved(calls, capacity));
        const found = collector.finish(tokens);
        const all = calls.map(tokensOf).reduce((sum, count) => sum + count, 0);
        expect(found).toMatchObject({
          prompt_tokens: all,
          cached_tokens: calls.filter((one) => one.tokens !== undefined).length,
          estimated_calls: calls.filter((one) => !one.tokens).length,
        });
        expect(found.savings.map((saving) => saving.cache_tokens)).toEqual([...tokens, undefined]);
        expectClose(
          found.savings.map((saving) => saving.saved_share),
          slow.map((saved) => (all === 0 ? 0 : saved / all)),
        );
        for (const [i, saving] of found.savings.entries())
          expect(Math.abs(saving.saved_tokens - slow[i]!)).toBeLessThanOrEqual(0.5 + 1e-9);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  const twice = (prompt: string) =>
    traceOf(['LLM_START', 0, 'a', { input: prompt }], ['LLM_START', 1, 'b', { input: prompt }]);

  test('guesses tokens from bytes where none are reported, and says so', () => {
    const collector = new CacheWhatIfCollector();
    collector.add(twice(block('x')));
    expect(collector.finish([])).toMatchObject({
      prompt_tokens: 32,
      estimated_calls: 2,
      savings: [{ saved_tokens: 16, saved_share: 0.5 }],
    });
  });

  test('takes a cache to hold whole blocks only', () => {
    const collector = new CacheWhatIfCollector();
    collector.add(twice(block('x') + block('y') + block('z')));
    const saved = collector.finish([15, 16, 47, 48]).savings.map(({ saved_tokens: tokens }) => tokens);
    expect(saved).toEqual([0, 16, 32, 48, 48]);
  });

  test('does not count into a block the tokens of prompts that have none', () => {
    const collector = new CacheWhatIfCollector();
    collector.add(twice('short'.repeat(12)));
    collector.add(twice(block('x')));
    expect(collector.finish([16]).savings[0]!.saved_tokens).toBe(16);
  });
});
