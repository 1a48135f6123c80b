import { Heap } from '../../base/heap.ts';
import type { CallSequences } from './call-sequences.ts';

export interface PrefixSpanOptions {
  /** Requests that must hold the calls of a pattern in order, gaps allowed; 1 or more. */
  readonly minSupport: number;
  /** Share of requests in which the calls must follow each other directly. */
  readonly minCoverage: number;
  readonly topK: number;
}

export interface CallPattern {
  readonly pattern: readonly string[];
  readonly frequency: number;
  readonly coverage: number;
  readonly average_duration: number;
  readonly examples_containing: readonly number[];
}

const MAX_LENGTH = 1000;

/** A pattern under way: where it ends in each supporting request at the earliest, and its direct occurrences. */
interface Node {
  readonly item: number;
  readonly parent: Node | undefined;
  readonly length: number;
  /** One flat end position per supporting request, ascending. */
  readonly ends: Int32Array;
  /** Flat end positions of direct occurrences, and the seconds of each. */
  readonly direct: Int32Array;
  readonly seconds: Float64Array;
  readonly covered: number;
  readonly averageS: number;
}

interface Extension {
  readonly item: number;
  readonly support: number;
}

interface Found {
  readonly node: Node;
  readonly order: number;
}

/**
 * The top k frequent call patterns in the order (frequency, coverage, average duration) descending, then
 * emission order of a depth-first PrefixSpan. Only k decides the cost: a first search by falling support finds
 * the k-th frequency, a second, depth-first, skips whatever cannot come before the k-th pattern held. Patterns
 * with gaps therefore never multiply, and direct ones number at most calls x length.
 */
export class PrefixSpan {
  readonly #s: CallSequences;
  readonly #options: PrefixSpanOptions;
  readonly #sequenceOf: Int32Array;
  readonly #positions: ItemPositions;
  // Scratch per item, to count supports without an object each.
  readonly #support: Int32Array;
  readonly #seenIn: Int32Array;
  // Longest possible duration of a direct pattern that begins at a call.
  readonly #reachS: Float64Array;
  #found: Found[] = [];
  #order = 0;

  constructor(sequences: CallSequences, options: PrefixSpanOptions) {
    this.#s = sequences;
    this.#options = options;
    this.#sequenceOf = sequenceNumbers(sequences);
    this.#positions = new ItemPositions(sequences.tokens);
    this.#support = new Int32Array(this.#positions.items);
    this.#seenIn = new Int32Array(this.#positions.items);
    this.#reachS = reaches(sequences);
  }

  mine(): readonly CallPattern[] {
    if (this.#options.topK < 1) return [];
    const least = this.#leastFrequency();
    this.#depthFirst(least);
    const { requests, name } = this.#s;
    return this.#found.map(({ node }) => ({
      pattern: itemsOf(node).map((item) => name(item)),
      frequency: node.ends.length,
      coverage: this.#coverage(node),
      average_duration: node.averageS,
      examples_containing: [...new Set(Array.from(node.direct, (end) => this.#sequenceOf[end]!))].map(
        (s) => requests[s]!,
      ),
    }));
  }

  /** Frequency of the k-th pattern by falling support, found by best-first search. */
  #leastFrequency(): number {
    const heap = new Heap<{ parent: Node | undefined; extension: Extension }>(
      (a, b) => a.extension.support > b.extension.support,
    );
    for (const extension of this.#extensions(undefined, this.#options.minSupport, false))
      heap.push({ parent: undefined, extension });
    let taken = 0;
    for (let next = heap.pop(); next !== undefined; next = heap.pop()) {
      const node = this.#extend(next.parent, next.extension.item);
      if (this.#coverage(node) < this.#options.minCoverage) continue;
      if (++taken === this.#options.topK) return next.extension.support;
      // Without gapped patterns to count, only direct continuations lead on.
      const directOnly = this.#options.minCoverage > 0;
      for (const extension of this.#extensions(node, this.#options.minSupport, directOnly))
        heap.push({ parent: node, extension });
    }
    return this.#options.minSupport;
  }

  #depthFirst(minSupport: number): void {
    const todo: { parent: Node | undefined; extension: Extension }[] = [];
    const push = (parent: Node | undefined, directOnly: boolean): void => {
      const extensions = this.#extensions(parent, minSupport, directOnly);
      for (let i = extensions.length - 1; i >= 0; i--) todo.push({ parent, extension: extensions[i]! });
    };
    push(undefined, false);
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const { parent, extension } = next;
      const last = this.#last();
      const tied = last !== undefined && extension.support === last.node.ends.length;
      if (last !== undefined && extension.support < last.node.ends.length) continue;
      if (tied && parent !== undefined && !this.#continues(parent, extension.item)) continue;
      const node = this.#extend(parent, extension.item);
      const coverage = this.#coverage(node);
      if (coverage < this.#options.minCoverage) continue;
      if (tied && !this.#mayBeat(node, last)) continue;
      this.#offer({ node, order: this.#order++ });
      if (node.length < MAX_LENGTH) {
        const full = this.#last();
        const onlyDirect =
          (full !== undefined && full.node.ends.length === node.ends.length) || this.#options.minCoverage > 0;
        if (!onlyDirect || node.direct.length > 0) push(node, onlyDirect);
      }
    }
  }

  /** The k-th pattern held, once there are k. */
  #last(): Found | undefined {
    return this.#found.length < this.#options.topK ? undefined : this.#found.at(-1);
  }

  /** Whether the node or a direct continuation could come before the last pattern, both being equally frequent. */
  #mayBeat(node: Node, last: Found): boolean {
    if (node.covered !== last.node.covered) return node.covered > last.node.covered;
    let bestS = 0;
    for (const end of node.direct) bestS = Math.max(bestS, this.#reachS[end - node.length + 1]!);
    // Equal ones come later in order. Running sums round: what they tell apart is no difference.
    return bestS * (1 - 1e-12) > last.node.averageS;
  }

  /** Whether the item directly follows the pattern anywhere. */
  #continues({ direct }: Node, item: number): boolean {
    const { tokens, starts } = this.#s;
    return direct.some((end) => tokens[end + 1] === item && end + 1 < starts[this.#sequenceOf[end]! + 1]!);
  }

  #offer(found: Found): void {
    const at = this.#found.findIndex((other) => before(found, other));
    if (at < 0) this.#found.push(found);
    else this.#found.splice(at, 0, found);
    if (this.#found.length > this.#options.topK) this.#found.pop();
  }

  #coverage(node: Node): number {
    return this.#s.requests.length === 0 ? 0 : node.covered / this.#s.requests.length;
  }

  /** Items that may follow, in order of first occurrence over the rests of the supporting requests. */
  #extensions(node: Node | undefined, minSupport: number, directOnly: boolean): Extension[] {
    const { tokens, starts } = this.#s;
    if (directOnly && node !== undefined) return this.#directExtensions(node, minSupport);
    const items: number[] = [];
    const sequences = node === undefined ? starts.length - 1 : node.ends.length;
    for (let i = 0; i < sequences; i++) {
      const sequence = node === undefined ? i : this.#sequenceOf[node.ends[i]!]!;
      const from = node === undefined ? starts[i]! : node.ends[i]! + 1;
      for (let at = from; at < starts[sequence + 1]!; at++) {
        const item = tokens[at]!;
        if (this.#support[item] === 0) items.push(item);
        else if (this.#seenIn[item] === sequence) continue;
        this.#seenIn[item] = sequence;
        this.#support[item]!++;
      }
    }
    const extensions: Extension[] = [];
    for (const item of items) {
      const support = this.#support[item]!;
      if (support >= minSupport) extensions.push({ item, support });
      this.#support[item] = 0;
    }
    return extensions;
  }

  #directExtensions(node: Node, minSupport: number): Extension[] {
    const { tokens, starts } = this.#s;
    const items = new Set<number>();
    for (const end of node.direct)
      if (end + 1 < starts[this.#sequenceOf[end]! + 1]!) items.add(tokens[end + 1]!);
    const placed = [...items].map((item) => {
      const ends = this.#nextEnds(node, item);
      return { item, support: ends.length, first: ends[0] ?? -1 };
    });
    return placed.filter(({ support }) => support >= minSupport).sort((a, b) => a.first - b.first);
  }

  /** Earliest ends of the pattern with one more item, by look-up in the item's positions. */
  #nextEnds(node: Node, item: number): Int32Array {
    const { starts } = this.#s;
    const positions = this.#positions.of(item);
    const ends = new Int32Array(node.ends.length);
    let found = 0;
    for (const end of node.ends) {
      const position = positions[firstAtLeast(positions, end + 1)];
      if (position === undefined) break;
      if (position < starts[this.#sequenceOf[end]! + 1]!) ends[found++] = position;
    }
    return ends.slice(0, found);
  }

  #extend(parent: Node | undefined, item: number): Node {
    const { tokens, seconds, starts } = this.#s;
    if (parent === undefined) {
      const direct = this.#positions.of(item);
      const ends = direct.filter(
        (at, i) => i === 0 || this.#sequenceOf[at] !== this.#sequenceOf[direct[i - 1]!],
      );
      return this.#make(
        undefined,
        item,
        ends,
        direct,
        Float64Array.from(direct, (at) => seconds[at]!),
      );
    }
    const kept: number[] = [];
    const sums: number[] = [];
    for (const [i, end] of parent.direct.entries()) {
      if (end + 1 >= starts[this.#sequenceOf[end]! + 1]! || tokens[end + 1] !== item) continue;
      kept.push(end + 1);
      sums.push(parent.seconds[i]! + seconds[end + 1]!);
    }
    return this.#make(
      parent,
      item,
      this.#nextEnds(parent, item),
      Int32Array.from(kept),
      Float64Array.from(sums),
    );
  }

  #make(
    parent: Node | undefined,
    item: number,
    ends: Int32Array,
    direct: Int32Array,
    seconds: Float64Array,
  ): Node {
    let covered = 0;
    let sumS = 0;
    for (const [i, end] of direct.entries()) {
      if (i === 0 || this.#sequenceOf[end] !== this.#sequenceOf[direct[i - 1]!]) covered++;
      sumS += seconds[i]!;
    }
    return {
      item,
      parent,
      length: (parent?.length ?? 0) + 1,
      ends,
      direct,
      seconds,
      covered,
      averageS: direct.length === 0 ? 0 : sumS / direct.length,
    };
  }
}

function itemsOf(node: Node): number[] {
  const items: number[] = [];
  for (let at: Node | undefined = node; at !== undefined; at = at.parent) items.push(at.item);
  return items.reverse();
}

/** Whether one pattern stands before another in the result. */
function before(a: Found, b: Found): boolean {
  const byFrequency = a.node.ends.length - b.node.ends.length;
  const byCoverage = a.node.covered - b.node.covered;
  return (byFrequency || byCoverage || a.node.averageS - b.node.averageS || b.order - a.order) > 0;
}

function sequenceNumbers({ starts, tokens }: CallSequences): Int32Array {
  const numbers = new Int32Array(tokens.length);
  for (let i = 0; i + 1 < starts.length; i++) numbers.fill(i, starts[i]!, starts[i + 1]!);
  return numbers;
}

/** Where each item stands, ascending: all lists end to end, cut by a counting sort. */
class ItemPositions {
  /** One more than the highest item. */
  readonly items: number;
  readonly #positions: Int32Array;
  readonly #starts: Uint32Array;

  constructor(tokens: Int32Array) {
    let items = 0;
    for (const item of tokens) items = Math.max(items, item + 1);
    const starts = new Uint32Array(items + 2);
    for (const item of tokens) starts[item + 2]!++;
    for (let item = 2; item < starts.length; item++) starts[item]! += starts[item - 1]!;
    this.items = items;
    this.#positions = new Int32Array(tokens.length);
    for (const [at, item] of tokens.entries()) this.#positions[starts[item + 1]!++] = at;
    this.#starts = starts;
  }

  of(item: number): Int32Array {
    return this.#positions.subarray(this.#starts[item]!, this.#starts[item + 1]!);
  }
}

/** For each call, the seconds of it and the calls after it in its request, at most the longest pattern's. */
function reaches({ starts, seconds }: CallSequences): Float64Array {
  const reach = new Float64Array(seconds.length);
  for (let i = 0; i + 1 < starts.length; i++) {
    let sumS = 0;
    for (let at = starts[i + 1]! - 1; at >= starts[i]!; at--) {
      sumS += seconds[at]!;
      if (at + MAX_LENGTH < starts[i + 1]!) sumS -= seconds[at + MAX_LENGTH]!;
      reach[at] = sumS;
    }
  }
  return reach;
}

function firstAtLeast(ascending: Int32Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}
