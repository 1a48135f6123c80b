import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose } from '../../../test/support/golden-traces.ts';
import { randomTraces } from '../../../test/support/random-traces.ts';
import { slowCalls } from '../../../test/support/slow-calls.ts';
import { slowMean, slowPercentile } from '../../../test/support/slow-percentile.ts';
import type { Trace } from '../input/event.ts';
import type { CallSample, PathRule } from './call-samples.ts';
import { TrieCollector } from './prediction-trie.ts';
import { type SensitivityOptions, scoreToInt, sensitivityScores } from './sensitivity.ts';
import { lookUp, type Metrics, type Prediction, type TrieNode } from './trie-node.ts';

const SCALE = 5;
const SENSITIVITY: SensitivityOptions = {
  ...{ scale: SCALE, wCritical: 0.5, wFanout: 0.3, wPosition: 0.2, wParallel: 0.3 },
  ...{ absolute: false, slack: 'siblings-only' },
};
const MAX_INDEX = 3;

type Scored = CallSample & { readonly score: number };

function scored(traces: readonly Trace[], rule: PathRule): readonly Scored[] {
  return traces.flatMap((trace) => {
    const calls = slowCalls(trace, rule);
    const scores = sensitivityScores(trace, calls, SENSITIVITY);
    return calls.map((call, i) => ({ ...call, score: scores[i]!.score }));
  });
}

function slowMetrics(values: readonly number[]): Metrics {
  const at = (p: number) => slowPercentile(values, p);
  return { sampleCount: values.length, mean: slowMean(values), p50: at(50), p90: at(90), p95: at(95) };
}

function slowPrediction(calls: readonly Scored[]): Prediction | undefined {
  if (calls.length === 0) return undefined;
  return {
    remainingCalls: slowMetrics(calls.map(({ remainingCalls }) => remainingCalls)),
    interarrivalMs: slowMetrics(calls.flatMap(({ timeToNextMs }) => timeToNextMs ?? [])),
    outputTokens: slowMetrics(calls.map(({ outputTokens }) => outputTokens)),
    latencySensitivity: scoreToInt(slowMean(calls.map(({ score }) => score)), SCALE),
  };
}

function slowPredictions(calls: readonly Scored[]) {
  const indices = [...new Set(calls.map(({ callIndex }) => callIndex))].sort((a, b) => a - b);
  const kept = indices.filter((index) => index <= MAX_INDEX);
  return {
    byIndex: kept.map((index) => [index, slowPrediction(calls.filter((call) => call.callIndex === index))]),
    any: slowPrediction(calls),
  };
}

const startsWith = (path: readonly string[], head: readonly string[]) =>
  head.every((name, i) => path[i] === name);

/** A trie as a list of its nodes by path; the maps as lists, so that their order counts. */
function listed(node: TrieNode, path: readonly string[] = []): Record<string, unknown> {
  const own = node.own === undefined ? undefined : { byIndex: [...node.own.byIndex], any: node.own.any };
  const { name, byIndex, any } = node;
  return Object.assign(
    { [JSON.stringify(path)]: { name, byIndex: [...byIndex], any, own } },
    ...[...node.children].map(([child, below]) => listed(below, [...path, child])),
  );
}

/** A node for every head of every path; in full tries a function that calls others also tells of its own calls. */
function slowTrie(calls: readonly Scored[], rule: PathRule): Record<string, unknown> {
  const heads = calls.flatMap(({ path }) => [...path, ''].map((_, length) => path.slice(0, length)));
  return Object.fromEntries(
    [[], ...heads].map((head: readonly string[]) => {
      const below = calls.filter(({ path }) => startsWith(path, head));
      const own = below.filter(({ path }) => path.length === head.length);
      const parts = rule === 'full' && own.length > 0 && own.length < below.length;
      return [
        JSON.stringify(head),
        {
          name: head.at(-1) ?? 'root',
          ...slowPredictions(below),
          own: parts ? slowPredictions(own) : undefined,
        },
      ];
    }),
  );
}

/** From the function's own calls if all of the path is known, else from all at the longest head that has any. */
function slowLookUp(calls: readonly Scored[], rule: PathRule, path: readonly string[], index: number) {
  const byHead = [...path, ''].map((_, length) =>
    calls.filter((call) => startsWith(call.path, path.slice(0, length))),
  );
  const deepest = byHead.findLast((below) => below.length > 0) ?? [];
  const own = calls.filter((call) => call.path.length === path.length && startsWith(call.path, path));
  const answering = rule === 'full' && own.length > 0 ? own : deepest;
  const alike = answering.filter(({ callIndex }) => callIndex === index && index <= MAX_INDEX);
  return slowPrediction(alike.length > 0 ? alike : answering);
}

describe.each(['full', 'two-level'] as const)('a trie of %s paths', (rule) => {
  function learn(traces: readonly Trace[]): TrieNode {
    const options = { paths: rule, sensitivity: SENSITIVITY, maxCallIndex: MAX_INDEX };
    const collector = new TrieCollector(options);
    for (const trace of traces) collector.add(trace);
    return collector.finish();
  }

  test('has at each node the statistics of all calls under its path', () => {
    const property = fc.property(randomTraces({ maxSpans: 20 }), (traces) => {
      const actual = listed(learn(traces));
      expectClose(actual, slowTrie(scored(traces, rule), rule));
    });
    fc.assert(property, { numRuns: 100 });
  });

  test('answers from the calls that know most of the path', () => {
    const path = fc.array(fc.constantFrom('root', 'plan', 'work', 'äußere', 'stranger'), { maxLength: 4 });
    const property = fc.property(
      randomTraces(),
      path,
      fc.integer({ min: 1, max: 5 }),
      (traces, names, index) => {
        const expected = slowLookUp(scored(traces, rule), rule, names, index);
        expectClose(lookUp(learn(traces), names, index), expected);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });
});

test('a trie learnt without sensitivity tells none', () => {
  const property = fc.property(randomTraces(), (traces) => {
    const collector = new TrieCollector({ paths: 'full', sensitivity: undefined, maxCallIndex: 9 });
    for (const trace of traces) collector.add(trace);
    expect(lookUp(collector.finish(), [], 1)?.latencySensitivity).toBeUndefined();
  });
  fc.assert(property, { numRuns: 50 });
});
