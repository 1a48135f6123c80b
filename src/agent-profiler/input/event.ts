/** What a span is; the first half of an event type's name. */
export type SpanKind = 'LLM' | 'TOOL' | 'WORKFLOW' | 'TASK' | 'FUNCTION' | 'CUSTOM' | 'TTC' | 'SPAN';

type SpanPhase = 'start' | 'end' | 'chunk';

interface EventType {
  readonly kind: SpanKind;
  readonly phase: SpanPhase;
}

const pair = (kind: SpanKind): [string, EventType][] => [
  [`${kind}_START`, { kind, phase: 'start' }],
  [`${kind}_END`, { kind, phase: 'end' }],
];

/** Every event type of the toolkit, by its name in a trace. */
export const EVENT_TYPES: ReadonlyMap<string, EventType> = new Map<string, EventType>([
  ...pair('LLM'),
  ['LLM_NEW_TOKEN', { kind: 'LLM', phase: 'chunk' }],
  ...pair('TOOL'),
  ...pair('WORKFLOW'),
  ...pair('TASK'),
  ...pair('FUNCTION'),
  ...pair('CUSTOM'),
  ...pair('TTC'),
  ...pair('SPAN'),
  ['SPAN_CHUNK', { kind: 'SPAN', phase: 'chunk' }],
]);

/** Token counts of one LLM call, as the engine or client reported them. */
export interface TokenUsage {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
  readonly reasoning: number;
  readonly total: number;
}

/** One event of a trace, checked. Texts are there only where the flat table has them. */
export interface TraceEvent {
  readonly type: string;
  readonly kind: SpanKind;
  readonly phase: SpanPhase;
  /** Seconds since the epoch. */
  readonly timeS: number;
  /** Start of the span, on end events; undefined when the trace does not tell. */
  readonly spanStartS: number | undefined;
  readonly uuid: string;
  /** Model, tool or function name; empty when absent. */
  readonly name: string;
  readonly framework: string | null;
  readonly parentId: string;
  readonly functionId: string;
  readonly functionName: string;
  readonly functionParentId: string | null;
  readonly functionParentName: string | null;
  /** Undefined when the event carries no usage at all, which is not the same as zero tokens. */
  readonly usage: TokenUsage | undefined;
  /** Whole seconds since the handler's previous LLM start, as the toolkit wrote it. */
  readonly secondsBetweenCalls: number;
  /** LLM_START: the prompt as Python would print it; null when data holds a null; else empty. */
  readonly inputText: string | null;
  /** LLM_END: the answer, likewise. */
  readonly outputText: string | null;
  /** LLM_NEW_TOKEN: the chunk, likewise. */
  readonly chunkText: string | null;
  /** The parsed object as it was read, for writing the trace again. */
  readonly raw: object;
}

/** The events of one run of the workflow, in the order of the file. */
export interface Trace {
  /** 0-based place in the data set; failed items keep their place as traces without events. */
  readonly index: number;
  readonly events: readonly TraceEvent[];
}

/** A copy of the events in order of time; equal times keep the order of the file. */
export function byTime(events: readonly TraceEvent[]): readonly TraceEvent[] {
  for (let i = 1; i < events.length; i++)
    if (events[i]!.timeS < events[i - 1]!.timeS) return [...events].sort((a, b) => a.timeS - b.timeS);
  return events;
}
