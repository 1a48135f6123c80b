import { canonicalIds } from '../../formats/traces/canonical-ids.ts';
import type { TraceRow } from '../../formats/traces/trace.ts';

/** A stretch of blocks that several requests share; `id` is the last of `length` consecutive ids. */
export interface TreeNode {
  readonly id: number;
  readonly length: number;
  readonly visits: number;
  /** Requests that end here. */
  readonly ends: number;
  /** Requests that go on from here alone: they append a leaf of their own. */
  readonly toLeaf: number;
  readonly parent: TreeNode | undefined;
  readonly children: TreeNode[];
}

/** How the requests of a trace share prefixes, without what only one of them has. */
export interface PrefixTree {
  /** The super root: id -1, no blocks. */
  readonly root: TreeNode;
  /** All nodes but the root, ascending by id. */
  readonly nodes: readonly TreeNode[];
  /** Lengths in blocks of the parts that one request alone has. */
  readonly leafLengths: readonly number[];
  readonly maxId: number;
}

interface Visit {
  visits: number;
  ends: number;
  readonly children: number[];
}

export interface TreeScale {
  /** Multiplies the lengths of shared stretches; rounded up above 1. */
  readonly prefixLength?: number | undefined;
  /** Multiplies the lengths of leaves. */
  readonly leafLength?: number | undefined;
}

/** Builds the tree of shared prefixes: chains of equal visits are one node, parts visited once are leaves. */
export function prefixTree(rows: readonly TraceRow[], scale: TreeScale = {}): PrefixTree {
  const { rows: ids, distinct } = canonicalIds(rows);
  const visits = new Map<number, Visit>([[-1, { visits: 0, ends: 0, children: [] }]]);
  for (const row of ids) count(visits, row);
  const m = scale.prefixLength ?? 1;
  const factor = m > 1 ? Math.ceil(m) : 1;
  const nodes: TreeNode[] = [];
  const leafLengths: number[] = [];
  const build = (id: number, parent: TreeNode | undefined): TreeNode => {
    const chain = chainFrom(id, visits);
    const last = visits.get(chain.at(-1)!)!;
    const node: TreeNode = {
      id: id === -1 ? -1 : chain.at(-1)! * factor + (factor > 1 ? factor : 0),
      length: id === -1 ? 1 : scaledLength(chain.length, m, factor),
      visits: last.visits,
      ends: last.ends,
      toLeaf: last.children.filter((child) => visits.get(child)!.visits === 1).length,
      parent,
      children: [],
    };
    if (parent !== undefined) nodes.push(node);
    for (const child of last.children) {
      if (visits.get(child)!.visits > 1) node.children.push(build(child, node));
      else leafLengths.push(Math.max(1, roundHalfEven(leafLength(child, visits) * (scale.leafLength ?? 1))));
    }
    return node;
  };
  const root = build(-1, undefined);
  nodes.sort((a, b) => a.id - b.id);
  const maxId = distinct - 1;
  return { root, nodes, leafLengths, maxId: factor > 1 ? maxId * factor + factor : maxId };
}

/** Ids of a node's blocks. */
export function nodeIds(node: TreeNode): readonly number[] {
  return Array.from({ length: node.length }, (_, i) => node.id - node.length + 1 + i);
}

function count(visits: Map<number, Visit>, row: Uint32Array): void {
  let parent = visits.get(-1)!;
  parent.visits++;
  for (const id of row) {
    let node = visits.get(id);
    if (node === undefined) {
      node = { visits: 0, ends: 0, children: [] };
      visits.set(id, node);
      parent.children.push(id);
    }
    node.visits++;
    parent = node;
  }
  parent.ends++;
}

/** The node and those below it that every request goes through; the super root stands alone. */
function chainFrom(id: number, visits: Map<number, Visit>): readonly number[] {
  const chain = [id];
  if (id === -1) return chain;
  for (let node = visits.get(id)!; ; ) {
    const [only, ...others] = node.children;
    if (only === undefined || others.length > 0 || visits.get(only)!.visits !== node.visits) return chain;
    chain.push(only);
    node = visits.get(only)!;
  }
}

function leafLength(id: number, visits: Map<number, Visit>): number {
  let length = 1;
  for (let next = visits.get(id)!.children[0]; next !== undefined; next = visits.get(next)!.children[0])
    length++;
  return length;
}

function scaledLength(length: number, m: number, factor: number): number {
  return m > 1 ? length * factor : Math.max(1, roundHalfEven(length * m));
}

// Python's round, for lengths like 2.5.
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
