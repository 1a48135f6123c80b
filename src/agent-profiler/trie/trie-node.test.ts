import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lookUp, type Prediction, type Predictions, type TrieNode } from './trie-node.ts';

const metrics = { sampleCount: 1, mean: 0, p50: 0, p90: 0, p95: 0 };
const rarely = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
/** Predictions told apart by a number. */
const prediction = fc.nat().map((latencySensitivity): Prediction => {
  return { remainingCalls: metrics, interarrivalMs: metrics, outputTokens: metrics, latencySensitivity };
});
const predictions: fc.Arbitrary<Predictions> = fc.record({
  byIndex: fc
    .array(fc.tuple(fc.integer({ min: 1, max: 3 }), prediction), { maxLength: 2 })
    .map((e) => new Map(e)),
  any: rarely(prediction),
});

/** Tries as files may have them: any value may be missing anywhere. */
function trie(depth: number, name: string): fc.Arbitrary<TrieNode> {
  const below = depth === 0 ? [] : ['x', 'y'].map((child) => rarely(trie(depth - 1, child)));
  return fc.tuple(predictions, rarely(predictions), fc.tuple(...below)).map(([all, own, children]) => ({
    ...all,
    ...{ name, own },
    children: new Map(
      children.flatMap((child) => (child === undefined ? [] : [[child.name, child] as const])),
    ),
  }));
}

function nodeAt(root: TrieNode, path: readonly string[]): TrieNode | undefined {
  return path.reduce<TrieNode | undefined>((node, name) => node?.children.get(name), root);
}

test('the deepest value on the path answers, at its end first that of the function’s own calls', () => {
  const path = fc.array(fc.constantFrom('x', 'y'), { maxLength: 4 });
  const property = fc.property(
    trie(3, 'root'),
    path,
    fc.integer({ min: 1, max: 3 }),
    (root, names, index) => {
      const nodes = [...names, ''].map((_, length) => nodeAt(root, names.slice(0, length)));
      const own = nodes.at(-1)?.own;
      const deepestFirst = [own, ...nodes.reverse()];
      const values = deepestFirst.flatMap((p) => (p === undefined ? [] : [p.byIndex.get(index), p.any]));
      expect(lookUp(root, names, index)).toBe(values.find((value) => value !== undefined));
    },
  );
  fc.assert(property, { numRuns: 500 });
});
