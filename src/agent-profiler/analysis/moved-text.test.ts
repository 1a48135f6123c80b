import fc from 'fast-check';
import { expect, test } from 'vitest';
import { traceOf } from '../../../test/support/golden-traces.ts';
import { MovedTextCollector } from './moved-text.ts';

function movedIn(prompts: readonly string[], maxChunks?: number) {
  const collector = new MovedTextCollector(maxChunks);
  collector.add(
    traceOf(...prompts.map((input, i) => ['LLM_START', i, `u${i}`, { name: 'm', fn: 'f', input }] as const)),
  );
  return collector.finish();
}

const words = fc
  .array(fc.string({ minLength: 3, maxLength: 9, unit: 'grapheme' }), { minLength: 150, maxLength: 300 })
  .map((parts) => parts.join(' '));

test('prompts that go on where earlier ones stopped move nothing', () => {
  const property = fc.property(fc.array(words, { minLength: 1, maxLength: 4 }), (turns) => {
    const { tokens, worst } = movedIn(turns.map((_, i) => turns.slice(0, i + 1).join('\n')));
    // But for the chunk that the end of a prompt cut short.
    expect(tokens).toBe(0);
    expect(worst).toBeUndefined();
  });
  fc.assert(property, { numRuns: 60 });
});

test('a passage behind another head is found, but for the chunks at its edges', () => {
  const head = fc.string({ minLength: 1, maxLength: 200 });
  const property = fc.property(words, head, head, (passage, before, after) => {
    fc.pre(before !== after);
    const { tokens, share, worst } = movedIn([before + passage, after + passage]);
    const bytes = Buffer.byteLength(passage);
    expect(tokens * 4).toBeGreaterThanOrEqual(bytes - 1100);
    expect(tokens * 4).toBeLessThanOrEqual(Buffer.byteLength(after) + bytes);
    expect(share).toBeLessThanOrEqual(0.5 + 1e-9 + 200 / bytes);
    if (tokens > 0) expect(worst).toMatchObject({ functionName: 'f', calls: 1 });
  });
  fc.assert(property, { numRuns: 100 });
});

test('the place where prompts part is told', () => {
  const rules = Array.from({ length: 90 }, (_, i) => `Rule ${i} is to be kept.`).join(' ');
  const { share, worst } = movedIn([
    `It is 12:01:07. ${rules}`,
    `It is 12:01:31. ${rules}`,
    `It is 12:02:00. ${rules}`,
  ]);
  expect(share).toBeGreaterThan(0.5);
  expect(worst).toEqual({ functionName: 'f', calls: 2, head: 'It is 12:0' });
});

test('texts that a prompt repeats within itself, and other models’, are none of it', () => {
  const line = 'the same line again and again, as long as it likes to be. '.repeat(40);
  expect(movedIn([line, 'new']).tokens).toBe(0);
  const collector = new MovedTextCollector();
  const rows = ['m', 'n'].map(
    (name, i) => ['LLM_START', i, `u${i}`, { name, input: `${i}${line}` }] as const,
  );
  collector.add(traceOf(...rows));
  expect(collector.finish()).toMatchObject({ tokens: 0, share: 0 });
});

test('what is told apart is bounded', () => {
  const passage = Array.from({ length: 400 }, (_, i) => `word${i * 7919}`).join(' ');
  expect(movedIn([`a${passage}`, `b${passage}`], 2).tokens).toBeLessThan(
    movedIn([`a${passage}`, `b${passage}`]).tokens,
  );
});
