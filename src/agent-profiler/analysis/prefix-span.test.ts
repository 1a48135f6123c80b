import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, golden, goldenTraces } from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import {
  CallSequenceCollector,
  type CallSequences,
  chainPrefixes,
  type TokenRule,
} from './call-sequences.ts';
import { type CallPattern, PrefixSpan, type PrefixSpanOptions } from './prefix-span.ts';

type Item = string | number;
const DEFAULTS: PrefixSpanOptions = { minSupport: 2, minCoverage: 0, topK: 10 };
const NO_TEXT: TokenRule = { withText: false, maxTextLength: 1000 };

function mine(traces: readonly Trace[], rule: TokenRule, options: Partial<PrefixSpanOptions> = {}) {
  const collector = new CallSequenceCollector(rule);
  for (const trace of traces) collector.add(trace);
  return new PrefixSpan(collector.finish(), { ...DEFAULTS, ...options }).mine();
}

/** All frequent patterns with gaps, by PrefixSpan as it is written in books. */
function allPatterns(sequences: readonly (readonly Item[])[], minSupport: number) {
  const found: { support: number; pattern: Item[] }[] = [];
  const recurse = (pattern: Item[], matches: readonly (readonly [number, number])[]): void => {
    const next = new Map<Item, [number, number][]>();
    for (const [s, end] of matches) {
      const seen = new Set<Item>();
      for (let at = end + 1; at < sequences[s]!.length; at++) {
        const item = sequences[s]![at]!;
        if (seen.has(item)) continue;
        seen.add(item);
        next.set(item, [...(next.get(item) ?? []), [s, at]]);
      }
    }
    for (const [item, ends] of next) {
      if (ends.length < minSupport) continue;
      found.push({ support: ends.length, pattern: [...pattern, item] });
      recurse([...pattern, item], ends);
    }
  };
  recurse(
    [],
    sequences.map((_, s) => [s, -1] as const),
  );
  return found;
}

function slowTop(
  sequences: readonly (readonly Item[])[],
  seconds: readonly (readonly number[])[],
  options: PrefixSpanOptions,
): CallPattern[] {
  const rows = allPatterns(sequences, options.minSupport).map(({ support, pattern }) => {
    const examples = new Set<number>();
    const durations: number[] = [];
    for (const [s, sequence] of sequences.entries())
      for (let at = 0; at + pattern.length <= sequence.length; at++)
        if (pattern.every((item, i) => sequence[at + i] === item)) {
          examples.add(s);
          durations.push(seconds[s]!.slice(at, at + pattern.length).reduce((sum, d) => sum + d, 0));
        }
    return {
      pattern: pattern.map(String),
      frequency: support,
      coverage: examples.size / sequences.length,
      average_duration:
        durations.length === 0 ? 0 : durations.reduce((sum, d) => sum + d, 0) / durations.length,
      examples_containing: [...examples],
    };
  });
  const kept = rows.filter(({ coverage }) => coverage >= options.minCoverage);
  kept.sort(
    (a, b) => b.frequency - a.frequency || b.coverage - a.coverage || b.average_duration - a.average_duration,
  );
  return kept.slice(0, options.topK);
}

function sequencesOf(
  lists: readonly (readonly Item[])[],
  seconds: readonly (readonly number[])[],
): CallSequences {
  const names = [...new Set(lists.flat())];
  const starts = [0];
  for (const list of lists) starts.push(starts.at(-1)! + list.length);
  return {
    tokens: Int32Array.from(lists.flat(), (item) => names.indexOf(item)),
    seconds: Float64Array.from(seconds.flat()),
    starts: Int32Array.from(starts),
    requests: Int32Array.from(lists.keys()),
    name: (token) => String(names[token]),
  };
}

describe('frequent call patterns', () => {
  test.each(['a', 'b', 'c'] as const)('equal the reference on workflow %s', (workflow) => {
    const expected = golden(`${workflow}.workflow_profiling_metrics.json`).prefix_span_analysis.patterns;
    expectClose(mine(goldenTraces(workflow), NO_TEXT), expected);
  });

  test('equal the reference under every support, coverage and count', () => {
    const variants = golden('variants.json');
    const cases: [string, Partial<PrefixSpanOptions>][] = [
      ['min_support=absent, top_k=50', { topK: 50 }],
      ['min_support=0.5, top_k=50', { minSupport: 3, topK: 50 }],
      ['min_support=0.34, top_k=50', { minSupport: 2, topK: 50 }],
      ['min_support=1.0, top_k=50', { minSupport: 6, topK: 50 }],
      ['min_support=2.0, top_k=50', { minSupport: 12, topK: 50 }],
      ['default, top_k=3, min_coverage=0.9', { topK: 3, minCoverage: 0.9 }],
    ];
    for (const [name, options] of cases)
      expectClose(mine(goldenTraces('a'), NO_TEXT, options), variants[`prefix_span a, ${name}`].patterns);
  });

  test.each([40, 60])('keep the text of prompts, cut to %i code points', (maxTextLength) => {
    const key = `prefix_span a with START text kept, min_support=2 sequences, top_k=6, max_text_len=${maxTextLength}`;
    expectClose(
      mine(goldenTraces('a'), { withText: true, maxTextLength }, { topK: 6 }),
      golden('improved.json')[key],
    );
  });

  test('come from a miner whose plain form gives the reference library’s output', () => {
    for (const { sequences, min_support: minSupport, expected_in_output_order: expected } of golden(
      'prefixspan.raw.json',
    ))
      expect(allPatterns(sequences, minSupport)).toEqual(expected);
  });

  test('equal the plain miner on any sequences', () => {
    const sequence = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 8 });
    const options = fc.record({
      minSupport: fc.integer({ min: 1, max: 4 }),
      topK: fc.integer({ min: 1, max: 12 }),
      minCoverage: fc.constantFrom(0, 0, 0.3, 0.7),
    });
    const property = fc.property(
      fc.array(sequence, { minLength: 1, maxLength: 5 }),
      options,
      fc.nat(1000),
      (lists, opts, seed) => {
        // Durations in eighths: sums are exact, and ties happen.
        const seconds = lists.map((list, s) => list.map((_, i) => ((seed * (s + 3) + i * 5) % 4) / 8));
        expect(new PrefixSpan(sequencesOf(lists, seconds), opts).mine()).toEqual(
          slowTop(lists, seconds, opts),
        );
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  test('take two identical runs of many distinct calls, where plain mining doubles with each call', () => {
    const list = Array.from({ length: 3000 }, (_, i) => i);
    const seconds = list.map((i) => ((i * 7919) % 100) / 64);
    const [best] = new PrefixSpan(sequencesOf([list, list], [seconds, seconds]), DEFAULTS).mine();
    expect(best).toMatchObject({ frequency: 2, coverage: 1, examples_containing: [0, 1] });
    expect(best!.pattern).toHaveLength(1000);
  });

  test('take two runs that alternate one model and three tools', () => {
    const list = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 'LLM' : `TOOL${((i * i) >> 3) % 3}`));
    const seconds = list.map(() => 0.5);
    const patterns = new PrefixSpan(sequencesOf([list, list], [seconds, seconds]), DEFAULTS).mine();
    expect(patterns[0]).toMatchObject({ frequency: 2, coverage: 1, average_duration: 200 });
  });

  test('chain the longest head of each prefix', () => {
    expect(chainPrefixes('abcX abcY', ['abcd', 'zzz'])).toBe('<common_prefix>X <common_prefix>Y');
  });
});
