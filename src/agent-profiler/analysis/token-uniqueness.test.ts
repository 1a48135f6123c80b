import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import { randomTraces, timeOrder } from '../../../test/support/random-traces.ts';
import { slowPercentile } from '../../../test/support/slow-percentile.ts';
import type { Trace } from '../input/event.ts';
import { TokenUniquenessCollector } from './token-uniqueness.ts';

function collect(traces: readonly Trace[]) {
  const collector = new TokenUniquenessCollector();
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

/** Cuts the text, character by character, at whatever is no letter, digit or underscore. */
function slowWords(text: string): ReadonlySet<string> {
  const found = [''];
  for (const character of text.toLowerCase())
    if (/^[\p{Letter}\p{Number}_]$/u.test(character)) found.push(found.pop()! + character);
    else found.push('');
  return new Set(found.filter((word) => word !== ''));
}

function slowUniqueness(traces: readonly Trace[]) {
  const prompts = traces.flatMap(({ index, events }) =>
    timeOrder(events).flatMap(({ type, name, inputText }) =>
      type === 'LLM_START' ? [{ index, name, words: slowWords(inputText ?? 'None') }] : [],
    ),
  );
  const samples = prompts.flatMap(({ index, name, words }, i) => {
    const before = prompts.slice(0, i).findLast((other) => other.index === index && other.name === name);
    return before === undefined
      ? []
      : [{ name, fresh: [...words].filter((word) => !before.words.has(word)).length }];
  });
  const percentilesOf = (name: string) => {
    const values = samples.filter((sample) => sample.name === name).map(({ fresh }) => fresh);
    return {
      p90: slowPercentile(values, 90),
      p95: slowPercentile(values, 95),
      p99: slowPercentile(values, 99),
    };
  };
  return Object.fromEntries(samples.map(({ name }) => [name, percentilesOf(name)]));
}

describe('token uniqueness', () => {
  test('equals a comparison of every prompt with the one before it', () => {
    const property = fc.property(randomTraces({ maxSpans: 16 }), (traces) => {
      expectClose(collect(traces), slowUniqueness(traces));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('takes words apart in any script', () => {
    const text = fc.string({ unit: 'binary', maxLength: 12 });
    const property = fc.property(text, text, (first, second) => {
      const trace = traceOf(
        ...[first, second].map((input, i) => ['LLM_START', i, `u${i}`, { name: 'm', input }] as const),
      );
      expectClose(collect([trace]), slowUniqueness([trace]));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('lists models in the order of their code points', () => {
    const rows = ['😀', '～', 'm'].flatMap((name, i) =>
      [0, 1].map((at) => ['LLM_START', at, `${i}${at}`, { name, input: 'x' }] as const),
    );
    expect(Object.keys(collect([traceOf(...rows)]))).toEqual(['m', '～', '😀']);
  });
});
