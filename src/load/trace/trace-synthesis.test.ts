import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../../test/support/shared-data.ts';
import { parseTrace } from '../../formats/traces/parse-trace.ts';
import type { Trace } from '../../formats/traces/trace.ts';
import { mean } from '../../math/summary.ts';
import { readTraceFile } from '../../transport/trace-file.ts';
import { analysisJson, analysisTable, analyze } from './analyze.ts';
import { cacheFacts } from './cache-curve.ts';
import { rowReuse } from './prefix-reuse.ts';
import { nodeIds, type PrefixTree, prefixTree, type TreeNode } from './prefix-tree.ts';
import { synthesize } from './synthesize.ts';

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../../test/golden/workload/synth.json'), 'utf8'),
);
const arxiv = sharedFile('data/traces/mooncake-arxiv-first1000.jsonl.gz');
const conversation = sharedFile('data/traces/mooncake-conversation.jsonl.gz');
const tiny = parseTrace((golden.tiny.rows as object[]).map((row) => JSON.stringify(row)));

/** The tree in the golden file's terms. */
function asGolden(tree: PrefixTree): object {
  const nodes: Record<string, object> = {};
  const edges: (readonly [number, number, number])[] = [];
  for (const node of [tree.root, ...tree.nodes]) {
    const { id, length, visits, ends, toLeaf, children } = node;
    const weights = [...children.map((child) => child.visits), toLeaf, ends];
    const total = weights.reduce((a, b) => a + b);
    let sum = 0;
    const out_cdf = weights.map((weight) => {
      sum += weight;
      return sum / total;
    });
    nodes[id] = {
      visited: visits,
      end: ends,
      to_leaf: toLeaf,
      length,
      out_cdf,
      out_nodes: [...children.map((c) => c.id), -2, -3],
    };
    edges.push(...children.map((child) => [id, child.id, child.visits] as const));
  }
  return { nodes, edges: edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]), max_hash_id: tree.maxId };
}

describe('analysis', () => {
  test('of the tiny trace gives the reference columns', () => {
    const expected = golden.tiny.analyze;
    const reuse = rowReuse(tiny.rows, 512);
    expect(reuse.map((row) => row.contextLength)).toEqual(expected['Context Length']);
    expect(reuse.map((row) => row.uniqueLength)).toEqual(expected['Unique Prompt Length']);
    expect(reuse.map((row) => row.hitRate)).toEqual(expected['Theoretical Hit Rates']);
  });

  const files = { 'mooncake-arxiv-first1000': arxiv, 'mooncake-conversation': conversation };
  test.for(Object.entries(files))('of %s equals the reference', async ([name, path], { skip }) => {
    if (path === undefined) return skip('no shared data');
    const json = analysisJson(analyze(await readTraceFile(path))) as {
      columns: Record<string, Record<string, number>>;
    };
    for (const [column, statistics] of Object.entries(golden[name].analyze)) {
      for (const [statistic, value] of Object.entries(statistics as Record<string, number>)) {
        expect(json.columns[column]?.[statistic]).toBeCloseTo(value, 6);
      }
    }
  });

  test('adds arrivals, sessions, correlation and reuse', () => {
    const analysis = analyze(tiny);
    expect(analysis).toMatchObject({
      requests: 4,
      sessions: 4,
      turnsPerSession: 1,
      spanS: 0.03,
      gapVariation: 0,
    });
    // Of 6,120 tokens 1024 + 1536 + 512 were there before.
    expect(analysis.reusableTokenShare).toBeCloseTo(3072 / 6120, 12);
    expect(analysis.cache.infiniteHitRate).toBeCloseTo(6 / 12, 12);
    expect(analysisTable(analysis)).toContain('blocks reusable 50.00 %');
  });

  test('gives the hit rates of an LRU cache of any size, as running one does', () => {
    const mini = parseTrace(
      readFileSync(join(import.meta.dirname, '../../../test/golden/workload/mini.jsonl'), 'utf8'),
    );
    const sizes = [8, 16, 32, 64, 128, 1024];
    const { curve } = cacheFacts(mini.rows, sizes);
    for (const [i, size] of sizes.entries())
      expect(curve[i]?.hitRate).toBeCloseTo(lruHitRate(mini, size), 12);
    expect(curve[0]!.hitRate).toBeLessThan(curve.at(-1)!.hitRate);
  });
});

/** An LRU cache run for real; a row's hits are its leading blocks that are held when it comes. */
function lruHitRate(trace: Trace, capacity: number): number {
  const held = new Set<number>();
  let hits = 0;
  let uses = 0;
  for (const { hashIds = [] } of trace.rows) {
    // The naive model looks before it touches, with the eviction that this row's own blocks would cause undone.
    let leads = true;
    const depth = [...held].reverse();
    let deepest = 0;
    const touched = new Set<number>();
    for (const id of hashIds) {
      uses++;
      const at = depth.indexOf(id);
      leads &&= at >= 0;
      // Stack distance: blocks used since its last use, this row's earlier blocks among them.
      const newer = at < 0 ? 0 : new Set([...depth.slice(0, at), ...touched]).size + 1;
      deepest = Math.max(deepest, newer);
      if (leads && deepest <= capacity) hits++;
      touched.add(id);
    }
    for (const id of hashIds) {
      held.delete(id);
      held.add(id);
    }
  }
  return hits / uses;
}

describe('the prefix tree', () => {
  test.each([
    ['tree_x1', 1],
    ['tree_x2', 2],
  ])('of the tiny trace is the reference %s', (name, prefixLength) => {
    const tree = prefixTree(tiny.rows, { prefixLength });
    const { leaf_len_values, leaf_len_cdf, ...expected } = golden.tiny[name];
    expect(asGolden(tree)).toEqual(expected);
    expect([...tree.leafLengths].sort()).toEqual(leaf_len_values);
    expect(leaf_len_cdf).toEqual([0.5, 1]);
  });

  test.skipIf(arxiv === undefined)('of the arXiv trace has the reference core', async () => {
    const tree = prefixTree((await readTraceFile(arxiv!)).rows);
    const expected = golden['mooncake-arxiv-first1000'].core_tree;
    expect(tree.nodes).toHaveLength(expected.nodes);
    expect(tree.root.children).toHaveLength(expected.root_children);
    expect(tree.nodes.reduce((sum, node) => sum + node.length, 0)).toBe(expected.total_length_blocks);
    expect(tree.maxId).toBe(expected.max_hash_id);
    expect([tree.root.toLeaf, tree.root.ends]).toEqual([expected.root_to_leaf, expected.root_end]);
    expect(new Set(tree.leafLengths).size).toBe(expected.leaf_count);
  });

  test('gives every block to exactly one node', () => {
    const tree = prefixTree(tiny.rows, { prefixLength: 3 });
    const ids = tree.nodes.flatMap((node: TreeNode) => [...nodeIds(node)]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(Math.max(...ids)).toBeLessThanOrEqual(tree.maxId);
  });
});

describe('synthesis', () => {
  const means = (rows: ReturnType<typeof synthesize>) => ({
    input: mean(rows.map((row) => row.inputLength))!,
    context: mean(rows.map((row) => row.contextLength))!,
    output: mean(rows.map((row) => row.outputLength))!,
  });

  test('repeats with its seed, and dimensions do not disturb each other', () => {
    const options = { requests: 50, seed: 3 };
    expect(synthesize(tiny, options)).toEqual(synthesize(tiny, options));
    expect(synthesize(tiny, { ...options, seed: 4 })).not.toEqual(synthesize(tiny, options));
    const faster = synthesize(tiny, { ...options, speedup: 2 });
    expect(faster.map((row) => row.hashIds)).toEqual(synthesize(tiny, options).map((row) => row.hashIds));
    expect(faster.at(-1)?.timestampMs).toBe(synthesize(tiny, options).at(-1)!.timestampMs! / 2);
  });

  test('walks the tree with its transition frequencies', () => {
    const rows = synthesize(tiny, { requests: 8000 });
    const share = (shape: string) =>
      rows.filter((row) => (row.hashIds ?? []).map((id) => (id > 5 ? 'x' : id)).join('') === shape).length /
      8000;
    // Leaves are one or two fresh blocks, each with 1/2.
    expect(share('01')).toBeCloseTo(0.25, 1);
    expect(share('012')).toBeCloseTo(0.25, 1);
    expect(share('012x') + share('012xx')).toBeCloseTo(0.25, 1);
    expect(share('0x') / share('0xx')).toBeCloseTo(1, 0);
    expect(new Set(rows.flatMap((row) => (row.hashIds ?? []).filter((id) => id > 5))).size).toBe(
      rows.flatMap((row) => (row.hashIds ?? []).filter((id) => id > 5)).length,
    );
  });

  test('writes rows that the reader takes: ids and lengths agree', () => {
    for (const row of synthesize(tiny, {
      requests: 200,
      prefixLengthMultiplier: 2,
      prefixRootMultiplier: 3,
    })) {
      expect(Math.ceil(row.inputLength / 512)).toBe(row.hashIds?.length);
      expect(row.contextLength).toBeLessThanOrEqual(row.inputLength);
    }
  });

  test('meets the length limits without losing rows', () => {
    const rows = synthesize(tiny, { requests: 300, maxIsl: 1600, minIsl: 1100, maxOsl: 25, minOsl: 15 });
    expect(rows).toHaveLength(300);
    for (const row of rows) {
      expect(row.inputLength).toBeGreaterThanOrEqual(1100);
      expect(row.inputLength).toBeLessThanOrEqual(1600);
      expect(row.outputLength).toBeGreaterThanOrEqual(15);
      expect(row.outputLength).toBeLessThanOrEqual(25);
    }
    expect(() => synthesize(tiny, { requests: 1, maxIsl: 5 })).toThrow('no input length between 0 and 5');
  });

  test.skipIf(arxiv === undefined)('of the arXiv trace has its means, as the reference has', async () => {
    const source = await readTraceFile(arxiv!);
    const expected = golden['mooncake-arxiv-first1000'];
    const { input, context, output } = means(synthesize(source, { requests: 20_000 }));
    expect(Math.abs(input / expected.analyze['Input Length'].mean - 1)).toBeLessThan(0.03);
    expect(Math.abs(context / expected.synth20000_stats.context_len.mean - 1)).toBeLessThan(0.03);
    expect(Math.abs(output / expected.analyze['Output Length'].mean - 1)).toBeLessThan(0.05);
    const scaled = synthesize(source, {
      requests: 20_000,
      prefixLengthMultiplier: 2,
      promptLengthMultiplier: 0.5,
      prefixRootMultiplier: 4,
      speedup: 2,
    });
    const reference = expected['synth20000_x2_0.5_4_speed2'];
    expect(Math.abs(means(scaled).input / reference.input_length.mean - 1)).toBeLessThan(0.05);
    expect(Math.abs(means(scaled).context / reference.context_len.mean - 1)).toBeLessThan(0.03);
    expect(Math.abs(scaled.at(-1)!.timestampMs! / reference.last_timestamp - 1)).toBeLessThan(0.1);
  });
});
