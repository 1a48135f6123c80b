import type { Trace, TraceEvent } from '../../src/agent-profiler/input/event.ts';
import { TICK_S, timeOrder } from './random-traces.ts';

/** A span of the naive reading; `parent` is an index into the list it stands in, -1 at a root. */
export interface SlowSpan {
  readonly start: TraceEvent;
  readonly end: TraceEvent | undefined;
  readonly type: 'LLM' | 'TOOL' | 'FUNCTION';
  readonly name: string;
  readonly startS: number;
  readonly endS: number;
  readonly parent: number;
}

const TYPES: Readonly<Record<string, SlowSpan['type']>> = {
  LLM: 'LLM',
  TOOL: 'TOOL',
  FUNCTION: 'FUNCTION',
  SPAN: 'FUNCTION',
};

/** Spans in order of their starts, each question answered by looking at every row again. */
export function slowSpans(
  trace: Trace,
  rule: 'parent-links' | 'stack',
  withFunctions: boolean,
): readonly SlowSpan[] {
  if (rule === 'parent-links' && !withFunctions)
    return slowSpans(trace, rule, true).filter(({ type }) => type !== 'FUNCTION');
  const all = timeOrder(trace.events);
  const rows = all.filter(({ kind, phase }) => {
    const type = TYPES[kind];
    return type !== undefined && phase !== 'chunk' && (withFunctions || type !== 'FUNCTION');
  });
  const starts = [...rows.keys()].filter((i) => rows[i]!.phase === 'start');
  /** A start ends where the next row of its UUID is an end. */
  const endRow = (i: number): number | undefined => {
    const next = rows.findIndex(({ uuid }, j) => j > i && uuid === rows[i]!.uuid);
    return next >= 0 && rows[next]!.phase === 'end' ? next : undefined;
  };
  const lastS = all.at(-1)?.timeS ?? 0;
  const intervals = starts.map((i) => {
    const startS = rows[i]!.timeS;
    const end = endRow(i);
    const endS = end === undefined ? (rule === 'stack' ? startS : lastS) : rows[end]!.timeS;
    return { start: rows[i]!, end: end === undefined ? undefined : rows[end]!, startS, endS };
  });
  const parents = rule === 'stack' ? stackParents(starts, endRow) : linkedParents(intervals, all);
  const spans = intervals.map((interval, i) => {
    const type = TYPES[interval.start.kind]!;
    const name = type === 'FUNCTION' ? interval.start.functionName : interval.start.name;
    return { ...interval, type, name: name || `unknown_${type.toLowerCase()}`, parent: parents[i]! };
  });
  return rule === 'stack' ? spans : withLostEnds(spans);
}

/** Each span's parent and end by the definition: what its first child tells, then what is around it. */
function withLostEnds(spans: readonly SlowSpan[]): readonly SlowSpan[] {
  /** When an open span ended, told by its first child if that had started by the time of span `by`. */
  const told = (i: number, by: number): number | undefined => {
    const { type, end } = spans[i]!;
    const child = spans.find(({ parent }, j) => parent === i && j > i && j <= by);
    if (end !== undefined || child === undefined) return undefined;
    const runs = child.type === 'FUNCTION';
    if (type === 'TOOL' && runs) return child.end && child.endS;
    return type === 'LLM' || (type === 'TOOL' && spans[parentOf(i)]?.end) ? child.startS : undefined;
  };
  const parentOf = (i: number): number => {
    let at = spans[i]!.parent;
    while (at >= 0 && (told(at, i) ?? Number.POSITIVE_INFINITY) <= spans[i]!.startS)
      at = at < i ? parentOf(at) : spans[at]!.parent;
    return at;
  };
  const endOf = (i: number): number => {
    const { startS, endS, end } = spans[i]!;
    const toldS = told(i, spans.length);
    if (end !== undefined || toldS !== undefined) return toldS ?? endS;
    const parent = parentOf(i);
    const aroundS = parent >= 0 && parent < i ? endOf(parent) : endS;
    return aroundS > startS ? Math.min(endS, aroundS) : endS;
  };
  return spans.map((span, i) => ({ ...span, parent: parentOf(i), endS: endOf(i) }));
}

/** A span leaves the stack at its end, if all that started after it have left by then; else it never does. */
function stackParents(
  starts: readonly number[],
  endRow: (start: number) => number | undefined,
): readonly number[] {
  const known = new Map<number, number>();
  const leavesAt = (start: number): number => {
    const before = known.get(start);
    if (before !== undefined) return before;
    const end = endRow(start) ?? Number.POSITIVE_INFINITY;
    const within = starts.filter((other) => other > start && other < end);
    const leaves = within.every((other) => leavesAt(other) < end) ? end : Number.POSITIVE_INFINITY;
    known.set(start, leaves);
    return leaves;
  };
  return starts.map((start) => starts.findLastIndex((other) => other < start && leavesAt(other) > start));
}

type Interval = Pick<SlowSpan, 'start' | 'startS' | 'endS'>;

/** What the parent id names; containment in time where it names nothing; circles cut where a walk closes them. */
function linkedParents(spans: readonly Interval[], all: readonly TraceEvent[]): readonly number[] {
  const parents = spans.map(({ start, startS, endS }, i) => {
    const passed = new Set<string>();
    for (let id = start.parentId; !passed.has(id); ) {
      if (id === 'root') return -1;
      const named = spans.findLastIndex((other) => other.start.uuid === id);
      if (named >= 0) return named === i ? -1 : named;
      const between = all.findLast(({ uuid, phase }) => phase === 'start' && uuid === id);
      if (between === undefined)
        return spans.findLastIndex((other, j) => j < i && other.startS <= startS && other.endS >= endS);
      passed.add(id);
      id = between.parentId;
    }
    return -1;
  });
  for (const i of spans.keys()) {
    const walked = new Set<number>();
    let at = i;
    for (; at >= 0 && !walked.has(at); at = parents[at]!) walked.add(at);
    if (at >= 0) parents[at] = -1;
  }
  return parents;
}

/** How many spans run at a moment: they do from their start up to, but not at, their end. */
export function slowLevel(spans: readonly Pick<SlowSpan, 'startS' | 'endS'>[], atS: number): number {
  return spans.filter(({ startS, endS }) => startS <= atS && atS < endS).length;
}

/** The level in each tick from the first start to the last end. */
export function levelsByTick(spans: readonly Pick<SlowSpan, 'startS' | 'endS'>[]): readonly number[] {
  const lastS = Math.max(...spans.map(({ endS }) => endS));
  const levels: number[] = [];
  for (let atS = Math.min(...spans.map(({ startS }) => startS)); atS < lastS; atS += TICK_S)
    levels.push(slowLevel(spans, atS));
  return levels;
}
