/** A run of consecutive blocks; the path from the root to its end spells a prefix. */
export interface PrefixNode<H> {
  /** Sequence hashes of the run. */
  hashes: BigUint64Array;
  parent: PrefixNode<H> | undefined;
  /** By the first hash of their run. */
  readonly children: Map<bigint, PrefixNode<H>>;
  /** What each rank keeps of this run: of all of it, since runs are split where ranks differ. */
  readonly holders: Map<number, H>;
}

/**
 * Prefixes held by ranks, as a compressed tree over sequence hashes. Whoever holds a run holds every run
 * above it: callers add and drop holders along whole paths. A path costs O(runs) plus O(log blocks) for each
 * run, not O(blocks), since equal sequence hashes mean equal prefixes.
 */
export class PrefixTree<H> {
  readonly #root: PrefixNode<H> = makeNode(new BigUint64Array(0), undefined);
  readonly #copyHolding: (holding: H) => H;

  /** `copyHolding` makes the second holding when a run is split in two. */
  constructor(copyHolding: (holding: H) => H) {
    this.#copyHolding = copyHolding;
  }

  get isEmpty(): boolean {
    return this.#root.children.size === 0;
  }

  /** The node at which exactly this prefix ends, made if need be; stays valid while it has a holder. */
  insert(sequence: BigUint64Array): PrefixNode<H> {
    let node = this.#root;
    let depth = 0;
    while (depth < sequence.length) {
      const child = node.children.get(sequence[depth]!);
      if (child === undefined) return addChild(node, sequence.slice(depth));
      const common = commonRun(child.hashes, sequence, depth);
      node = common < child.hashes.length ? this.#split(child, common) : child;
      depth += common;
    }
    return node;
  }

  /** Calls back for every node on the path of the prefix, root's child first, with the blocks matched up to its end. */
  walk(sequence: BigUint64Array, visit: (holders: ReadonlyMap<number, H>, depth: number) => void): void {
    let node = this.#root;
    let depth = 0;
    while (depth < sequence.length) {
      const child = node.children.get(sequence[depth]!);
      if (child === undefined) return;
      const common = commonRun(child.hashes, sequence, depth);
      depth += common;
      visit(child.holders, depth);
      if (common < child.hashes.length) return;
      node = child;
    }
  }

  /** Writes for every rank the length of the longest prefix it holds, leaving ranks that hold none untouched. */
  depths(sequence: BigUint64Array, out: Uint32Array): void {
    this.walk(sequence, (holders, depth) => {
      for (const rank of holders.keys()) out[rank] = depth;
    });
  }

  /** Removes the node, and those above it, as long as nobody holds them. */
  prune(node: PrefixNode<H>): void {
    let dead = node;
    while (dead.parent !== undefined && dead.holders.size === 0 && dead.children.size === 0) {
      const parent = dead.parent;
      parent.children.delete(dead.hashes[0]!);
      dead.parent = undefined;
      dead = parent;
    }
  }

  /** All nodes, parents before children. */
  *nodes(): IterableIterator<PrefixNode<H>> {
    const pending = [...this.#root.children.values()];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      pending.push(...node.children.values());
      yield node;
    }
  }

  /** Puts a new node above `node` for the first `length` blocks of its run; `node` keeps the rest. */
  #split(node: PrefixNode<H>, length: number): PrefixNode<H> {
    const parent = node.parent!;
    parent.children.delete(node.hashes[0]!);
    const upper = addChild(parent, node.hashes.slice(0, length));
    for (const [rank, holding] of node.holders) upper.holders.set(rank, this.#copyHolding(holding));
    node.hashes = node.hashes.slice(length);
    node.parent = upper;
    upper.children.set(node.hashes[0]!, node);
    return upper;
  }
}

function makeNode<H>(hashes: BigUint64Array, parent: PrefixNode<H> | undefined): PrefixNode<H> {
  return { hashes, parent, children: new Map(), holders: new Map() };
}

function addChild<H>(parent: PrefixNode<H>, hashes: BigUint64Array): PrefixNode<H> {
  const child = makeNode(hashes, parent);
  parent.children.set(hashes[0]!, child);
  return child;
}

/** How many leading blocks of the run the sequence has from `at` on; the first is known to be equal. */
function commonRun(run: BigUint64Array, sequence: BigUint64Array, at: number): number {
  const limit = Math.min(run.length, sequence.length - at);
  if (run[limit - 1] === sequence[at + limit - 1]) return limit;
  // A chained hash is equal only if all before it are: the point of divergence can be bisected.
  let equal = 1;
  let different = limit;
  while (different - equal > 1) {
    const middle = (equal + different) >>> 1;
    if (run[middle - 1] === sequence[at + middle - 1]) equal = middle;
    else different = middle;
  }
  return equal;
}

/** Sequence hashes of the whole prefix that ends at the node. */
export function hashesOf<H>(end: PrefixNode<H> | undefined): BigUint64Array {
  const runs: BigUint64Array[] = [];
  for (let node = end; node !== undefined; node = node.parent) runs.push(node.hashes);
  const hashes = new BigUint64Array(runs.reduce((sum, run) => sum + run.length, 0));
  let at = hashes.length;
  for (const run of runs) {
    at -= run.length;
    hashes.set(run, at);
  }
  return hashes;
}
