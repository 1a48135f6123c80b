import { HINT_DEFAULTS, requestHints } from '../trie/request-hints.ts';
import type { Prediction, Predictions, TrieNode } from '../trie/trie-node.ts';

/** Hints for the LLM calls of one function. `nvext` goes into request bodies as it is; routers accept it. */
interface HintRow {
  readonly path: readonly string[];
  /** Null: for call indices that have no row of their own. */
  readonly call_index: number | null;
  readonly samples: number;
  /** Dynamo's dialect. */
  readonly nvext: object;
  /** The toolkit's dialect; add prefix_id per run. */
  readonly nvext_nat: object;
}

/** request_hints.json: for each function with calls of its own, what to send with each of them. */
export function hintsJson(root: TrieNode): object {
  const rows: HintRow[] = [];
  const todo: { readonly node: TrieNode; readonly path: readonly string[] }[] = [{ node: root, path: [] }];
  for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
    const { node, path } = next;
    const own: Predictions | undefined = node.own ?? (node.children.size === 0 ? node : undefined);
    if (own !== undefined) {
      for (const [index, prediction] of own.byIndex) rows.push(row(path, index, prediction));
      if (own.any !== undefined) rows.push(row(path, null, own.any));
    }
    for (const [name, child] of node.children) todo.push({ node: child, path: [...path, name] });
  }
  return { version: '1.0', hints: rows };
}

function row(path: readonly string[], index: number | null, prediction: Prediction): HintRow {
  const request = { prefixId: '', callIndex: index ?? 1, prediction };
  const nat = requestHints(request, HINT_DEFAULTS, 'nat');
  const { prefix_id: _, ...agentHints } = nat.agent_hints as Record<string, unknown>;
  return {
    path,
    call_index: index,
    samples: prediction.remainingCalls.sampleCount,
    nvext: requestHints(request, HINT_DEFAULTS, 'dynamo'),
    nvext_nat: { ...nat, agent_hints: agentHints },
  };
}
