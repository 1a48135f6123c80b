import fc from 'fast-check';
import type { Trace, TraceEvent } from '../../src/agent-profiler/input/event.ts';
import { readEvent } from '../../src/agent-profiler/input/event-reader.ts';

/** All times are whole ticks, so that sums are exact in binary and equal times are frequent. */
export const TICK_S = 1 / 8;

const KINDS = [
  'LLM',
  'LLM',
  'LLM',
  'TOOL',
  'TOOL',
  'FUNCTION',
  'SPAN',
  'WORKFLOW',
  'TASK',
  'CUSTOM',
] as const;
// The last two stand in another order by UTF-16 units than by code points.
const UUIDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', '～', '😀'] as const;
const FUNCTIONS = ['f1', 'f2', 'f3', 'f4'] as const;
const WORDS = ['the', 'The', 'été', 'ÉTÉ', 'x_1', '42', '日本', '😀', '-', 'e\u0301', 'İ', ''] as const;

const rarely = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const mostly = fc.integer({ min: 0, max: 7 }).map((n) => n > 0);

const usage = fc.record({
  prompt_tokens: fc.nat(3),
  completion_tokens: fc.nat(300),
  cached_tokens: fc.nat(2),
  total_tokens: fc.nat(3),
});

const prompt = fc
  .array(fc.constantFrom(...WORDS), { maxLength: 6 })
  .chain((words) => fc.constantFrom(' ', '.', '\n', '').map((separator) => words.join(separator)));

/** A span as drawn: its start and end may both, or either, be missing, and it may run backwards. */
const span = fc.record({
  kind: fc.constantFrom(...KINDS),
  uuid: fc.constantFrom(...UUIDS),
  start: fc.nat(40),
  length: fc.integer({ min: -3, max: 14 }),
  hasStart: mostly,
  hasEnd: mostly,
  chunks: fc.nat(2),
  parent: fc.constantFrom('root', 'lost', '', ...UUIDS, ...UUIDS),
  name: fc.constantFrom(undefined, 'm', 'n', '～', '😀'),
  fn: fc.constantFrom(undefined, ...FUNCTIONS),
  usage: rarely(usage),
  gapS: fc.nat(5),
  input: rarely(prompt),
  spanStart: fc.constantFrom(undefined, 0, 0, 0, 1),
});
type DrawnSpan = typeof span extends fc.Arbitrary<infer S> ? S : never;

/** Who stands above each function of a trace; circles and strangers happen. */
const ancestry = fc.record(
  Object.fromEntries(
    FUNCTIONS.map((id) => [
      id,
      fc.record({
        name: fc.constantFrom('plan', 'work', 'äußere'),
        parent: fc.constantFrom(null, '', 'root', 'stranger', ...FUNCTIONS),
      }),
    ]),
  ),
);
type Ancestry = Readonly<Record<string, { readonly name: string; readonly parent: string | null }>>;

function eventsOf(drawn: DrawnSpan, functions: Ancestry): readonly TraceEvent[] {
  const endTime = drawn.start + drawn.length;
  const own = drawn.fn === undefined ? undefined : functions[drawn.fn]!;
  const parent = own?.parent ?? null;
  const event = (type: string, time: number, payload: object): TraceEvent => {
    const read = readEvent({
      parent_id: drawn.parent,
      function_ancestry:
        own === undefined
          ? null
          : {
              function_id: drawn.fn,
              function_name: own.name,
              parent_id: parent,
              parent_name: parent === null ? null : (functions[parent]?.name ?? parent),
            },
      payload: {
        event_type: type,
        event_timestamp: time * TICK_S,
        UUID: drawn.uuid,
        name: drawn.name ?? null,
        ...payload,
      },
    });
    if (read.event === undefined) throw new Error(read.fault);
    return read.event;
  };
  const usageInfo =
    drawn.usage === undefined ? null : { token_usage: drawn.usage, seconds_between_calls: drawn.gapS };
  const events: TraceEvent[] = [];
  if (drawn.hasStart)
    events.push(
      event(`${drawn.kind}_START`, drawn.start, { data: { input: drawn.input }, usage_info: usageInfo }),
    );
  for (let chunk = 1; drawn.kind === 'LLM' && chunk <= drawn.chunks; chunk++)
    events.push(event('LLM_NEW_TOKEN', drawn.start + chunk, { data: { chunk: 'x' } }));
  if (drawn.hasEnd)
    events.push(
      event(`${drawn.kind}_END`, endTime, {
        usage_info: usageInfo,
        span_event_timestamp: drawn.spanStart === undefined ? null : (drawn.start + drawn.spanStart) * TICK_S,
      }),
    );
  return events;
}

/**
 * Traces as no toolkit writes them on a good day: repeated UUIDs, ties, spans without start or end, spans that
 * cross or run backwards, parents that are lost or form circles, events out of order, requests without events.
 */
export function randomTraces({ maxTraces = 3, maxSpans = 12 } = {}): fc.Arbitrary<readonly Trace[]> {
  // Without bias: it makes more than half of the traces empty.
  const trace = fc
    .tuple(fc.noBias(fc.array(span, { maxLength: maxSpans })), ancestry, fc.boolean())
    .map(([spans, functions, inOrder]) => {
      const events = spans.flatMap((drawn) => eventsOf(drawn, functions));
      return inOrder ? events.sort((a, b) => a.timeS - b.timeS) : events;
    });
  return fc
    .noBias(fc.array(trace, { minLength: maxTraces === 1 ? 1 : 0, maxLength: maxTraces }))
    .map((traces) => traces.map((events, index) => ({ index, events })));
}

/** The events in order of time, equal times as they stood. */
export function timeOrder(events: readonly TraceEvent[]): readonly TraceEvent[] {
  return [...events].sort((a, b) => a.timeS - b.timeS);
}
