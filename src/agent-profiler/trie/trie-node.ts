import { MAX_PATH } from './call-samples.ts';

export interface Metrics {
  readonly sampleCount: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
}

/** What to expect of an LLM call at one place. */
export interface Prediction {
  readonly remainingCalls: Metrics;
  readonly interarrivalMs: Metrics;
  readonly outputTokens: Metrics;
  /** 1 to the scale; undefined when it was not computed. */
  readonly latencySensitivity: number | undefined;
}

export interface Predictions {
  /** By 1-based call index, ascending. */
  readonly byIndex: ReadonlyMap<number, Prediction>;
  readonly any: Prediction | undefined;
}

/** A function in the workflow. Its predictions cover the calls below it too; `own` those of its own body. */
export interface TrieNode extends Predictions {
  readonly name: string;
  /** Undefined when it would equal the whole, or when the file does not tell (version 1.0). */
  readonly own: Predictions | undefined;
  readonly children: ReadonlyMap<string, TrieNode>;
}

/**
 * The prediction for the call of this index under these functions, outermost first. The deepest known function
 * with a value wins; a function reached by the whole path answers with its own calls before those below it.
 */
export function lookUp(root: TrieNode, path: readonly string[], callIndex: number): Prediction | undefined {
  let node: TrieNode | undefined = root;
  let found = at(root, callIndex, path.length === 0);
  const names = path.slice(0, MAX_PATH);
  for (const [i, name] of names.entries()) {
    node = node.children.get(name);
    if (node === undefined) break;
    found = at(node, callIndex, i === names.length - 1) ?? found;
  }
  return found;
}

function at(node: TrieNode, callIndex: number, isEnd: boolean): Prediction | undefined {
  const own = isEnd ? (node.own?.byIndex.get(callIndex) ?? node.own?.any) : undefined;
  return own ?? node.byIndex.get(callIndex) ?? node.any;
}
