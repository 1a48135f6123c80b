import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { traceOf } from '../../../test/support/golden-traces.ts';
import { CacheWhatIfCollector } from './cache-what-if.ts';
import { CallSequenceCollector } from './call-sequences.ts';
import { ForecastCollector } from './forecast.ts';
import { PromptPrefixCollector } from './prompt-prefixes.ts';
import { RadixTree } from './radix-tree.ts';
import { StackDistances } from './stack-distances.ts';
import { TextColumn } from './text-column.ts';

const prompts = (...texts: readonly string[]) =>
  traceOf(
    ...texts.flatMap((input, i) => [
      ['LLM_START', 2 * i, `u${i}`, { name: 'm', input }] as const,
      ['LLM_END', 2 * i + 1, `u${i}`, { name: 'm' }] as const,
    ]),
  );

describe('a column of texts', () => {
  test('gives back what was put in, UUIDs or not', () => {
    const text = fc.oneof(
      fc.uuid(),
      fc.uuid().map((u) => u.toUpperCase()),
      fc.string({ unit: 'grapheme' }),
    );
    const property = fc.property(fc.array(text), (texts) => {
      const column = new TextColumn();
      for (const one of texts) column.push(one);
      expect(texts.map((_, i) => column.at(i))).toEqual(texts);
      if (new Set(texts).size < texts.length) expect(column.mayRepeat()).toBe(true);
    });
    fc.assert(property);
  });

  test('tells a thousand different texts from one that repeats', () => {
    const column = new TextColumn();
    for (let i = 0; i < 1000; i++) column.push(`call ${i}`);
    expect(column.mayRepeat()).toBe(false);
    column.push('call 500');
    expect(column.mayRepeat()).toBe(true);
  });
});

describe('a radix tree', () => {
  test('keeps the node of a text for ever, and its count of texts that begin so', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '𝄞'), maxLength: 6 });
    const property = fc.property(fc.array(text), (texts) => {
      const tree = new RadixTree();
      const nodes = texts.map((one) => tree.insert(one));
      for (const [i, node] of nodes.entries()) {
        expect(tree.path(node).toString('utf8')).toBe(texts[i]);
        expect(tree.count(node)).toBe(texts.filter((other) => other.startsWith(texts[i]!)).length);
      }
    });
    fc.assert(property);
  });

  test('holds texts longer than a page', () => {
    const tree = new RadixTree();
    const long = 'naïve '.repeat(200_000);
    const node = tree.insert(long);
    const other = tree.insert(`${long.slice(0, 700_000)}!`);
    expect(tree.path(node).toString('utf8')).toBe(long);
    expect(tree.path(other).toString('utf8')).toBe(`${long.slice(0, 700_000)}!`);
  });
});

test('stack distances equal those of a list kept in order of last touch', () => {
  const property = fc.property(fc.array(fc.nat(5), { maxLength: 60 }), (touches) => {
    const fast = new StackDistances(6);
    let recent: number[] = [];
    for (const key of touches) {
      const place = recent.indexOf(key);
      expect(fast.distance(key)).toBe(place < 0 ? undefined : place);
      fast.touch(key);
      recent = [key, ...recent.filter((other) => other !== key)];
    }
  });
  fc.assert(property);
});

describe('beyond the text that is kept', () => {
  test('prefixes are counted as far as they are known', () => {
    const collector = new PromptPrefixCollector('starts', 20);
    collector.add(prompts('shared head, one', 'shared head, two', 'other', 'shared head, four'));
    expect(collector.isCut).toBe(true);
    expect(collector.finish(0.5).m).toEqual({
      total_calls: 4,
      prefix_info: [{ prefix: 'shared head, ', prefix_length: 13, calls_count: 3, calls_percentage: 0.75 }],
    });
  });

  test('tokens of call sequences are shortened', () => {
    const collector = new CallSequenceCollector({ withText: true, maxTextLength: 100 }, 12);
    collector.add(prompts('abcd', 'abcdefgh'));
    expect(collector.isCut).toBe(true);
    const { tokens, name } = collector.finish();
    expect([...tokens].map(name)).toEqual(['LLM:m|abcd', 'LLM:m|abcd']);
  });

  test('the cache what-if counts only blocks that it tells apart', () => {
    const block = (letter: string): string => letter.repeat(64);
    const texts = [block('a') + block('b'), block('a') + block('c'), block('a') + block('c')];
    const savings = (maxBlocks: number) => {
      const collector = new CacheWhatIfCollector(maxBlocks);
      collector.add(prompts(...texts));
      return [collector.isCut, collector.finish([]).savings[0]!.saved_tokens];
    };
    expect(savings(3)).toEqual([false, 48]);
    expect(savings(2)).toEqual([true, 32]);
  });
});

test('the forecast counts the requests it leaves out, by what is wrong with them', () => {
  const collector = new ForecastCollector();
  collector.add(prompts('x'));
  collector.add(traceOf(['WORKFLOW_START', 0, 'w', {}]));
  collector.add(traceOf(['WORKFLOW_START', 0, 'w', {}]));
  collector.add(traceOf(['LLM_END', 0, 'u', { name: 'm' }]));
  expect([...collector.leftOut]).toEqual([
    ['a request without LLM call', 2],
    ['an LLM_END without LLM_START', 1],
  ]);
});
