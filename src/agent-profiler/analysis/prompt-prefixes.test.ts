import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, golden, goldenTraces, traceOf } from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import { getOrMake } from './column.ts';
import { type CallRows, PromptPrefixCollector } from './prompt-prefixes.ts';

function collect(traces: readonly Trace[], rows: CallRows, minFrequency: number) {
  const collector = new PromptPrefixCollector(rows);
  for (const trace of traces) collector.add(trace);
  return collector.finish(minFrequency);
}

const promptsTrace = (texts: readonly string[]): Trace =>
  traceOf(...texts.map((input, i) => ['LLM_START', i, `u${i}`, { name: 'm', input }] as const));

/** Every prefix of every text, counted, filtered and sorted as the rule says. */
function slowPrefixes(texts: readonly string[], minFrequency: number) {
  const points = texts.map((text) => [...text]);
  const root: { children: Map<string, SlowNode>; count: number } = { children: new Map(), count: 0 };
  for (const text of points) {
    let node = root as SlowNode;
    for (const point of text) {
      const child: SlowNode = getOrMake(node.children, point, () => ({ children: new Map(), count: 0 }));
      child.count++;
      node = child;
    }
  }
  const found: { prefix: string; length: number; count: number }[] = [];
  const walk = (node: SlowNode, prefix: string, length: number): void => {
    if (length > 0 && node.count / texts.length >= minFrequency)
      found.push({ prefix, length, count: node.count });
    for (const [point, child] of [...node.children].reverse()) walk(child, prefix + point, length + 1);
  };
  walk(root as SlowNode, '', 0);
  found.sort((a, b) => b.length - a.length || b.count - a.count);
  const kept: typeof found = [];
  for (const item of found) if (!kept.some(({ prefix }) => prefix.includes(item.prefix))) kept.push(item);
  return kept.map(({ prefix, length, count }) => ({
    prefix,
    prefix_length: length,
    calls_count: count,
    calls_percentage: count / texts.length,
  }));
}

interface SlowNode {
  readonly children: Map<string, SlowNode>;
  count: number;
}

describe('common prompt prefixes', () => {
  test.each(['a', 'b', 'c'] as const)(
    'equal the reference on workflow %s when every row counts',
    (workflow) => {
      const expected = golden(`${workflow}.inference_optimization.json`).common_prefixes;
      expectClose(collect(goldenTraces(workflow), 'all-rows', 0.1), expected);
    },
  );

  test.each(['0.0', '0.2', '0.5'])('equal the reference at min_frequency %s', (minFrequency) => {
    const expected = golden('variants.json')[`common_prefixes a, min_frequency=${minFrequency}`];
    expectClose(collect(goldenTraces('a'), 'all-rows', Number(minFrequency)), expected);
  });

  test('count each call once by default', () => {
    const expected = golden('improved.json')['common_prefixes a over LLM_START rows only'];
    for (const [minFrequency, prefixes] of Object.entries(expected))
      expectClose(collect(goldenTraces('a'), 'starts', Number(minFrequency)), prefixes);
  });

  test('equal the reference on its small cases', () => {
    for (const { llm_start_texts: texts, min_frequency: minFrequency, expected } of golden(
      'prompt_caching.micro.json',
    ))
      expectClose(collect([promptsTrace(texts)], 'all-rows', minFrequency).m, expected);
  });

  test('equal a trie of all characters on any prompts', () => {
    const letter = fc.constantFrom('a', 'b', '\n', 'é', '日', '本', '😀', '😁');
    const text = fc.array(letter, { maxLength: 40 }).map((letters) => letters.join(''));
    const property = fc.property(
      fc.array(text, { minLength: 1, maxLength: 12 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (texts, minFrequency) => {
        expect(collect([promptsTrace(texts)], 'starts', minFrequency).m?.prefix_info).toEqual(
          slowPrefixes(texts, minFrequency),
        );
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test('stay linear where every prompt is distinct', () => {
    const texts = Array.from({ length: 3000 }, (_, i) => `${'shared '.repeat(50)}${i} own ${i * 7919}`);
    const { prefix_info: info } = collect([promptsTrace(texts)], 'starts', 0).m!;
    expect(info.length).toBeGreaterThan(2900);
  });
});
