import type { Trace } from '../input/event.ts';
import { Column, Names } from './column.ts';
import { childLists, type OperationType, type Span, type TreeRule, traceSpans } from './span-tree.ts';
import { TextColumn } from './text-column.ts';
import { Timeline, timeWeightedPercentile } from './timeline.ts';

/** One node of the call trees, as workflow_profiling_metrics.json has it. */
export interface NodeMetrics {
  readonly uuid: string;
  readonly operation_type: OperationType;
  readonly operation_name: string;
  readonly start_time: number;
  readonly end_time: number;
  readonly duration: number;
  readonly self_time: number;
  readonly subtree_time: number;
  readonly concurrency_midpoint: number;
  readonly bottleneck_score: number;
}

/** A node with its place; `depth` counts from 0 at a root. */
export interface PlacedNode extends NodeMetrics {
  readonly request: number;
  readonly depth: number;
  readonly unfinished: boolean;
}

const TYPES: readonly OperationType[] = ['LLM', 'TOOL', 'FUNCTION'];
const TOP = 5;

/** Call trees of all requests, kept as columns in depth-first order: 46 bytes a node and its UUID. */
export class NestedStackCollector {
  readonly #rule: TreeRule;
  readonly #names = new Names();
  readonly #uuids = new TextColumn();
  readonly #columns = {
    request: Column.counts(),
    depth: Column.counts(),
    type: Column.bytes(),
    name: Column.counts(),
    start: new Column(),
    end: new Column(),
    self: new Column(),
    subtree: new Column(),
    open: Column.bytes(),
  };

  constructor(rule: TreeRule) {
    this.#rule = rule;
  }

  add(trace: Trace): void {
    const spans = traceSpans(trace, this.#rule);
    const { roots, children } = childLists(spans);
    const order: number[] = [];
    const depths = new Int32Array(spans.length);
    const todo = roots.reverse();
    while (todo.length > 0) {
      const at = todo.pop()!;
      order.push(at);
      const below = children[at]!;
      for (let i = below.length - 1; i >= 0; i--) {
        depths[below[i]!] = depths[at]! + 1;
        todo.push(below[i]!);
      }
    }
    const { self, subtree } = times(spans, children, order);
    for (const at of order) this.#push(trace.index, depths[at]!, spans[at]!, self[at]!, subtree[at]!);
  }

  finish(): NestedStack {
    return new NestedStack(this.#uuids, this.#names, this.#columns, this.#rule);
  }

  #push(request: number, depth: number, span: Span, self: number, subtree: number): void {
    const columns = this.#columns;
    this.#uuids.push(span.uuid);
    columns.request.push(request);
    columns.depth.push(depth);
    columns.type.push(TYPES.indexOf(span.type));
    columns.name.push(this.#names.id(span.name));
    columns.start.push(span.startS);
    columns.end.push(span.endS);
    columns.self.push(self);
    columns.subtree.push(subtree);
    columns.open.push(span.open ? 1 : 0);
  }
}

/** Self time: duration less the union of the children's intervals; subtree time: self and all below. */
function times(spans: readonly Span[], children: readonly number[][], preorder: readonly number[]) {
  const self = new Float64Array(spans.length);
  const subtree = new Float64Array(spans.length);
  for (let i = preorder.length - 1; i >= 0; i--) {
    const at = preorder[i]!;
    const { startS, endS } = spans[at]!;
    let coveredS = 0;
    let reachedS = startS;
    let belowS = 0;
    // Children stand in order of their starts, so their union needs one pass.
    for (const child of children[at]!) {
      belowS += subtree[child]!;
      const fromS = Math.max(reachedS, spans[child]!.startS);
      const toS = Math.min(endS, spans[child]!.endS);
      if (toS > fromS) coveredS += toS - fromS;
      reachedS = Math.max(reachedS, toS);
    }
    self[at] = Math.max(0, endS - startS - coveredS);
    subtree[at] = self[at]! + belowS;
  }
  return { self, subtree };
}

type NodeColumns = Readonly<
  Record<'request' | 'depth' | 'name', Column<Uint32Array>> &
    Record<'type' | 'open', Column<Uint8Array>> &
    Record<'start' | 'end' | 'self' | 'subtree', Column>
>;

/** Call trees with the timeline over all their nodes. Nodes are made on demand. */
export class NestedStack {
  readonly timeline: Timeline;
  readonly percentiles: Readonly<Record<'p50' | 'p90' | 'p95' | 'p99', number>>;
  readonly #uuids: TextColumn;
  readonly #names: Names;
  readonly #columns: NodeColumns;
  readonly #rule: TreeRule;

  constructor(uuids: TextColumn, names: Names, columns: NodeColumns, rule: TreeRule) {
    this.#uuids = uuids;
    this.#names = names;
    this.#columns = columns;
    this.#rule = rule;
    this.timeline = Timeline.of(columns.start.view(), columns.end.view());
    const distribution = this.timeline.distribution();
    const at = (p: number): number => timeWeightedPercentile(distribution, p);
    this.percentiles = { p50: at(50), p90: at(90), p95: at(95), p99: at(99) };
  }

  get size(): number {
    return this.#uuids.length;
  }

  /** The request of a node, without making the node; likewise {@link depth} and {@link seconds}. */
  request(i: number): number {
    return this.#columns.request.at(i);
  }

  depth(i: number): number {
    return this.#columns.depth.at(i);
  }

  seconds(i: number): number {
    return this.#columns.end.at(i) - this.#columns.start.at(i);
  }

  /** A node by its place in depth-first order. */
  node(i: number): PlacedNode {
    const columns = this.#columns;
    const startS = columns.start.at(i);
    const endS = columns.end.at(i);
    const subtree = columns.subtree.at(i);
    return {
      uuid: this.#uuids.at(i),
      operation_type: TYPES[columns.type.at(i)]!,
      operation_name: this.#names.name(columns.name.at(i)),
      start_time: startS,
      end_time: endS,
      duration: endS - startS,
      self_time: columns.self.at(i),
      subtree_time: subtree,
      concurrency_midpoint: this.timeline.levelAt(startS + (endS - startS) / 2),
      bottleneck_score: subtree,
      request: columns.request.at(i),
      depth: columns.depth.at(i),
      unfinished: columns.open.at(i) === 1,
    };
  }

  /** The nodes under unique keys: the UUID, and for one seen before the later (stack) or UUID#request. */
  *keyed(): Generator<readonly [key: string, node: PlacedNode]> {
    // Only broken traces repeat a UUID, and only for them the keys are remembered.
    const seen = this.#rule !== 'stack' && this.#uuids.mayRepeat() ? new Set<string>() : undefined;
    for (const i of this.#distinct()) {
      const uuid = this.#uuids.at(i);
      let key = seen?.has(uuid) ? `${uuid}#${this.#columns.request.at(i)}` : uuid;
      while (seen?.has(key)) key += '+';
      seen?.add(key);
      yield [key, this.node(i)];
    }
  }

  /** The nodes of the highest scores, first come first among equals. */
  top(limit = TOP): readonly PlacedNode[] {
    const best: { readonly i: number; readonly score: number }[] = [];
    for (const i of this.#distinct()) {
      const score = this.#columns.subtree.at(i);
      if (best.length === limit && score <= best.at(-1)!.score) continue;
      const place = best.findIndex((other) => other.score < score);
      best.splice(place < 0 ? best.length : place, 0, { i, score });
      if (best.length > limit) best.pop();
    }
    return best.map(({ i }) => this.node(i));
  }

  /** All nodes; by stack, a UUID seen again keeps its first place, with the later node. */
  #distinct(): Iterable<number> {
    if (this.#rule !== 'stack' || !this.#uuids.mayRepeat()) return new Array(this.size).keys();
    const last = new Map<string, number>();
    for (let i = 0; i < this.size; i++) last.set(this.#uuids.at(i), i);
    return last.values();
  }
}

/** A node as the metrics file has it. */
export function nodeMetrics(node: PlacedNode): NodeMetrics {
  return {
    uuid: node.uuid,
    operation_type: node.operation_type,
    operation_name: node.operation_name,
    start_time: node.start_time,
    end_time: node.end_time,
    duration: node.duration,
    self_time: node.self_time,
    subtree_time: node.subtree_time,
    concurrency_midpoint: node.concurrency_midpoint,
    bottleneck_score: node.bottleneck_score,
  };
}
