import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerText, sentenceEnd } from './answer-text.ts';
import { StopMatcher } from './stop-matcher.ts';

/** All text that comes out of pieces, and what stopped it. */
function run(stops: readonly string[], pieces: readonly string[], include = false) {
  const matcher = new StopMatcher(stops, include);
  let out = '';
  for (const piece of pieces) {
    const { text, stop } = matcher.push(piece);
    out += text;
    if (stop !== undefined) return { out, stop };
  }
  return { out: out + matcher.flush(), stop: undefined };
}

describe('stop strings', () => {
  test('are found across the borders of pieces and cut off', () => {
    expect(run(['END'], ['ab', 'cE', 'N', 'Dxyz'])).toEqual({ out: 'abc', stop: 'END' });
    expect(run(['END'], ['abcE', 'N'])).toEqual({ out: 'abcEN', stop: undefined });
    expect(run(['END'], ['ab', 'cE', 'N', 'Dxyz'], true)).toEqual({ out: 'abcEND', stop: 'END' });
  });

  test('hold back only what may still become one', () => {
    const matcher = new StopMatcher(['aab']);
    expect(['x', 'a', 'a', 'a', 'c'].map((piece) => matcher.push(piece).text)).toEqual([
      'x',
      '',
      '',
      'a',
      'aac',
    ]);
  });

  test('that overlap are decided by the earliest, then the longest', () => {
    expect(run(['bcd', 'ab'], ['abcd'])).toEqual({ out: '', stop: 'ab' });
    expect(run(['a', 'ab'], ['xab'])).toEqual({ out: 'x', stop: 'ab' });
  });

  test('do not depend on where the pieces part', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(text, stops, fc.array(fc.nat(5)), (whole, list, cuts) => {
        const pieces: string[] = [];
        let rest = whole;
        for (const cut of cuts) {
          pieces.push(rest.slice(0, cut));
          rest = rest.slice(cut);
        }
        const inPieces = run(list, [...pieces, rest]);
        const first = Math.min(
          ...list
            .filter((stop) => stop !== '')
            .map((stop) => whole.indexOf(stop))
            .filter((at) => at >= 0),
        );
        // A piece may end inside a longer stop string whose shorter rival is already complete.
        if (inPieces.stop === undefined) expect(inPieces.out).toBe(whole);
        else expect(whole.startsWith(inPieces.out + inPieces.stop)).toBe(true);
        expect(inPieces.stop === undefined).toBe(first === Number.POSITIVE_INFINITY);
      }),
    );
  });
});

describe('the text of answers', () => {
  test('is readable, repeats for a key, and grows without change', () => {
    const long = answerText(7, 1000);
    expect(long).toHaveLength(1000);
    expect(long).toMatch(/^([A-Z][a-z]{6} ([a-z]{7} ){7}[a-z]{6}\. )+[A-Za-z .]*$/);
    expect(answerText(7, 123)).toBe(long.slice(0, 123));
    expect(answerText(8, 1000)).not.toBe(long);
  });

  test('ends with a sentence', () => {
    for (const length of [1, 71, 100, 5000]) expect(answerText(3, sentenceEnd(length))).toMatch(/\.$/);
    expect(sentenceEnd(100)).toBe(71);
    expect(sentenceEnd(144)).toBe(143);
  });
});
