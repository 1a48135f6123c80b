import { byTime, type SpanKind, type Trace, type TraceEvent } from '../input/event.ts';
import { llmName, toolName } from '../output/flat-table.ts';
import { mendLostEnds } from './lost-ends.ts';

/** The kinds that the stack analyses tell apart; spans count as functions. */
export type OperationType = 'LLM' | 'TOOL' | 'FUNCTION';

/** A span of one trace. Indices refer to the list it stands in; parents come from there too. */
export interface Span {
  readonly uuid: string;
  readonly type: OperationType;
  readonly name: string;
  readonly startS: number;
  endS: number;
  /** -1 at a root. */
  parent: number;
  /** No end was seen: by stack it then ends at its start, by parent links as {@link mendLostEnds} finds. */
  open: boolean;
  promptTokens: number;
  totalTokens: number;
}

/**
 * `parent-links`: what the trace says encloses what, containment in time where it does not say. `stack`: the
 * reference's reading, in which whatever is on top of a stack when a span starts is its parent, and a span that
 * does not end in turn stays there.
 */
export type TreeRule = 'parent-links' | 'stack';

export function operationType(kind: SpanKind): OperationType | undefined {
  if (kind === 'LLM' || kind === 'TOOL') return kind;
  return kind === 'FUNCTION' || kind === 'SPAN' ? 'FUNCTION' : undefined;
}

function operationName(event: TraceEvent, type: OperationType): string {
  const name = type === 'LLM' ? llmName(event) : type === 'TOOL' ? toolName(event) : event.functionName;
  return name || `unknown_${type.toLowerCase()}`;
}

/** The spans of a trace in order of their starts. O(n log n); deep nesting costs no stack. */
export function traceSpans(trace: Trace, rule: TreeRule): readonly Span[] {
  const events = byTime(trace.events);
  const { spans, starts } = readSpans(events, true);
  if (rule === 'parent-links') {
    const lastS = events.at(-1)?.timeS ?? 0;
    for (const span of spans) if (span.open) span.endS = Math.max(span.startS, lastS);
    linkParents(spans, starts, events);
    mendLostEnds(spans);
  }
  return spans;
}

/** LLM and tool calls alone, in order of their starts; parents are not told. */
export function traceCalls(trace: Trace, rule: TreeRule): readonly Span[] {
  if (rule === 'stack') return readSpans(byTime(trace.events), false).spans;
  return traceSpans(trace, rule).filter(({ type }) => type !== 'FUNCTION');
}

function readSpans(events: readonly TraceEvent[], withFunctions: boolean) {
  const spans: Span[] = [];
  const openByUuid = new Map<string, number>();
  const stack: number[] = [];
  const starts: TraceEvent[] = [];
  for (const event of events) {
    const type = operationType(event.kind);
    if (type === undefined || (type === 'FUNCTION' && !withFunctions)) continue;
    if (event.phase === 'start') {
      openByUuid.set(event.uuid, spans.length);
      const span = makeSpan(event, type, stack.at(-1) ?? -1);
      stack.push(spans.length);
      spans.push(span);
      starts.push(event);
    } else if (event.phase === 'end') {
      const at = openByUuid.get(event.uuid);
      if (at === undefined) continue;
      openByUuid.delete(event.uuid);
      finishSpan(spans[at]!, event);
      if (stack.at(-1) === at) stack.pop();
    }
  }
  return { spans, starts };
}

function makeSpan(event: TraceEvent, type: OperationType, parent: number): Span {
  return {
    uuid: event.uuid,
    type,
    name: operationName(event, type),
    startS: event.timeS,
    endS: event.timeS,
    parent,
    open: true,
    promptTokens: event.usage?.prompt ?? 0,
    totalTokens: event.usage?.total ?? 0,
  };
}

function finishSpan(span: Span, end: TraceEvent): void {
  // A clock that ran backwards gives a span of no length, never a negative one.
  span.endS = Math.max(span.startS, end.timeS);
  span.open = false;
  span.promptTokens = end.usage?.prompt ?? span.promptTokens;
  span.totalTokens = end.usage?.total ?? span.totalTokens;
}

function linkParents(
  spans: readonly Span[],
  starts: readonly TraceEvent[],
  events: readonly TraceEvent[],
): void {
  const byUuid = new Map<string, number>();
  for (const [i, span] of spans.entries()) byUuid.set(span.uuid, i);
  // Starts of other kinds (workflows, tasks) are no nodes: their children belong to what encloses them.
  const passThrough = new Map<string, string>();
  for (const event of events)
    if (event.phase === 'start' && !byUuid.has(event.uuid)) passThrough.set(event.uuid, event.parentId);
  const unknown: number[] = [];
  for (const [i, span] of spans.entries()) {
    let id = starts[i]!.parentId;
    for (let hops = 0; passThrough.has(id) && hops <= passThrough.size; hops++) id = passThrough.get(id)!;
    const parent = byUuid.get(id);
    span.parent = parent === undefined || parent === i ? -1 : parent;
    if (parent === undefined && id !== 'root' && !passThrough.has(id)) unknown.push(i);
  }
  parentsByTime(spans, unknown);
  breakCycles(spans);
}

/** Gives each of these the last-started span before it that holds its whole interval, if there is one. */
function parentsByTime(spans: readonly Span[], orphans: readonly number[]): void {
  // Spans that may hold a later one; those that have ended are swept out once they are half.
  let running: number[] = [];
  let sweepAt = 64;
  let next = 0;
  for (const i of orphans) {
    const { startS, endS } = spans[i]!;
    while (next < i) running.push(next++);
    if (running.length >= sweepAt) {
      running = running.filter((j) => spans[j]!.endS >= startS);
      sweepAt = Math.max(64, 2 * running.length);
    }
    const at = running.findLastIndex((j) => spans[j]!.endS >= endS);
    spans[i]!.parent = running[at] ?? -1;
  }
}

/** Makes a root of one span in each circle of parents, which only a broken trace has. */
function breakCycles(spans: readonly Span[]): void {
  const state = new Uint8Array(spans.length);
  for (let i = 0; i < spans.length; i++) {
    const walked: number[] = [];
    let at = i;
    while (at >= 0 && state[at] === 0) {
      state[at] = 1;
      walked.push(at);
      at = spans[at]!.parent;
    }
    if (at >= 0 && state[at] === 1) spans[at]!.parent = -1;
    for (const span of walked) state[span] = 2;
  }
}

/** Children of each span, and the roots, each in order of their starts. */
export function childLists(spans: readonly Span[]): {
  readonly roots: number[];
  readonly children: readonly number[][];
} {
  const children: number[][] = spans.map(() => []);
  const roots: number[] = [];
  for (const [i, { parent }] of spans.entries()) (parent < 0 ? roots : children[parent]!).push(i);
  return { roots, children };
}
