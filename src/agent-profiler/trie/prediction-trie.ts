import { Column, getOrMake, Names } from '../analysis/column.ts';
import { mean, percentile } from '../analysis/confidence.ts';
import type { Trace } from '../input/event.ts';
import { callSamples, type PathRule } from './call-samples.ts';
import { type SensitivityOptions, scoreToInt, sensitivityScores } from './sensitivity.ts';
import type { Metrics, Prediction, TrieNode } from './trie-node.ts';

export interface TrieOptions {
  readonly paths: PathRule;
  /** Undefined: no latency sensitivity is computed. */
  readonly sensitivity: SensitivityOptions | undefined;
  /** Highest call index with statistics of its own; later calls are in "any" only. */
  readonly maxCallIndex: number;
}

/** Learns how the LLM calls at each place of the workflow went: 36 bytes a call. */
export class TrieCollector {
  readonly #options: TrieOptions;
  readonly #names = new Names();
  readonly #parents: number[] = [-1];
  readonly #nodeNames: number[] = [this.#names.id('root')];
  readonly #children: Map<number, number>[] = [new Map()];
  readonly #samples = {
    node: Column.counts(),
    index: Column.counts(),
    remaining: Column.counts(),
    timeToNext: new Column(),
    output: new Column(),
    score: new Column(),
  };

  constructor(options: TrieOptions) {
    this.#options = options;
  }

  add(trace: Trace): void {
    const calls = callSamples(trace, this.#options.paths);
    const { sensitivity } = this.#options;
    const scores = sensitivity === undefined ? undefined : sensitivityScores(trace, calls, sensitivity);
    for (const [i, call] of calls.entries()) {
      this.#samples.node.push(this.#nodeAt(call.path));
      this.#samples.index.push(call.callIndex);
      this.#samples.remaining.push(call.remainingCalls);
      this.#samples.timeToNext.push(call.timeToNextMs ?? Number.NaN);
      this.#samples.output.push(call.outputTokens);
      this.#samples.score.push(scores?.[i]?.score ?? Number.NaN);
    }
  }

  finish(): TrieNode {
    const own = this.#samplesByNode();
    // Nodes are numbered parents first, so going backwards meets children before their parents.
    const subtree: Uint32Array[] = new Array(own.length);
    const built: TrieNode[] = new Array(own.length);
    const keepOwn = this.#options.paths === 'full';
    for (let node = own.length - 1; node >= 0; node--) {
      const below = [...this.#children[node]!.values()];
      subtree[node] = merge([own[node]!, ...below.map((child) => subtree[child]!)]);
      const children = new Map(below.map((child) => [built[child]!.name, built[child]!]));
      const all = this.#predictions(subtree[node]!);
      const parts = keepOwn && below.length > 0 && own[node]!.length > 0;
      const mine = parts ? this.#predictions(own[node]!) : undefined;
      built[node] = { name: this.#names.name(this.#nodeNames[node]!), ...all, own: mine, children };
      for (const child of below) subtree[child] = new Uint32Array();
    }
    return built[0]!;
  }

  /** The samples of each node itself, in the order of the calls. */
  #samplesByNode(): readonly Uint32Array[] {
    const nodes = this.#samples.node.view();
    const counts = new Uint32Array(this.#parents.length);
    for (const node of nodes) counts[node]!++;
    const lists = Array.from(counts, (count) => new Uint32Array(count));
    counts.fill(0);
    for (const [i, node] of nodes.entries()) lists[node]![counts[node]!++] = i;
    return lists;
  }

  #nodeAt(path: readonly string[]): number {
    let node = 0;
    for (const name of path) {
      const id = this.#names.id(name);
      const parent = node;
      node = getOrMake(this.#children[parent]!, id, () => {
        this.#parents.push(parent);
        this.#nodeNames.push(id);
        this.#children.push(new Map());
        return this.#parents.length - 1;
      });
    }
    return node;
  }

  #predictions(samples: Uint32Array): {
    byIndex: ReadonlyMap<number, Prediction>;
    any: Prediction | undefined;
  } {
    const groups = new Map<number, number[]>();
    for (const i of samples) {
      const index = this.#samples.index.at(i);
      if (index <= this.#options.maxCallIndex) getOrMake(groups, index, () => []).push(i);
    }
    const ascending = [...groups].sort(([a], [b]) => a - b);
    return {
      byIndex: new Map(ascending.map(([index, group]) => [index, this.#prediction(group)])),
      any: samples.length === 0 ? undefined : this.#prediction(samples),
    };
  }

  #prediction(samples: ArrayLike<number> & Iterable<number>): Prediction {
    const take = (column: { at(i: number): number }): Float64Array => {
      const values = Float64Array.from(samples, (i) => column.at(i));
      return values.some(Number.isNaN) ? values.filter((value) => !Number.isNaN(value)) : values;
    };
    const scale = this.#options.sensitivity?.scale;
    return {
      remainingCalls: metrics(take(this.#samples.remaining)),
      interarrivalMs: metrics(take(this.#samples.timeToNext)),
      outputTokens: metrics(take(this.#samples.output)),
      latencySensitivity:
        scale === undefined ? undefined : scoreToInt(mean(take(this.#samples.score)), scale),
    };
  }
}

/** One ascending list of what ascending lists hold, so that sums run in the order of the calls. */
function merge(lists: readonly Uint32Array[]): Uint32Array {
  if (lists.length === 1) return lists[0]!;
  const merged = new Uint32Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) {
    merged.set(list, at);
    at += list.length;
  }
  return merged.sort();
}

function metrics(values: Float64Array): Metrics {
  const average = mean(values);
  const ascending = values.sort();
  const [p50, p90, p95] = [50, 90, 95].map((p) => percentile(ascending, p)) as [number, number, number];
  return { sampleCount: values.length, mean: average, p50, p90, p95 };
}
