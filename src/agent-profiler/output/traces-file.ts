import type { Trace } from '../input/event.ts';

type Json = Readonly<Record<string, unknown>>;

const METADATA = [
  'chat_responses',
  'chat_inputs',
  'tool_inputs',
  'tool_outputs',
  'tool_info',
  'span_inputs',
  'span_outputs',
  'provided_metadata',
  'tools_schema',
];
const NO_TOKENS = {
  prompt_tokens: 0,
  completion_tokens: 0,
  cached_tokens: 0,
  reasoning_tokens: 0,
  total_tokens: 0,
};

// Nested three deep, the list's elements come out indented as the file has them; what frames them is cut off.
const NESTING = ['[\n  [\n    ['.length, -'\n    ]\n  ]\n]'.length] as const;
/** Events turned into text at once: enough to be fast, few enough to stay small. */
const BATCH = 64;

/** One request of all_requests_profiler_traces.json, indented as the second level of its list. */
export function* requestText(trace: Trace): Generator<string> {
  yield `  {\n    "request_number": ${trace.index},\n    "intermediate_steps": [`;
  for (let i = 0; i < trace.events.length; i += BATCH) {
    const batch = trace.events.slice(i, i + BATCH).map(({ raw }) => completeEvent(raw as Json));
    yield (i === 0 ? '' : ',') + JSON.stringify([[batch]], null, 2).slice(...NESTING);
  }
  yield `${trace.events.length === 0 ? '' : '\n    '}]\n  }`;
}

/** The event with every optional field written, null where it was absent, in the order of the toolkit. */
function completeEvent(event: Json): Json {
  const payload = object(event.payload) ?? {};
  const ancestry = object(event.function_ancestry) ?? {};
  const usage = object(payload.usage_info);
  const {
    event_type,
    event_timestamp,
    span_event_timestamp,
    framework,
    name,
    tags,
    metadata,
    data,
    usage_info: _,
    UUID,
    ...extra
  } = payload;
  return {
    parent_id: event.parent_id ?? 'root',
    function_ancestry: {
      function_id: ancestry.function_id ?? 'root',
      function_name: ancestry.function_name ?? 'root',
      parent_id: ancestry.parent_id ?? null,
      parent_name: ancestry.parent_name ?? null,
    },
    payload: {
      event_type,
      event_timestamp,
      span_event_timestamp: span_event_timestamp ?? null,
      framework: framework ?? null,
      name: name ?? null,
      tags: tags ?? null,
      metadata: withNulls(metadata, METADATA),
      data: completeData(object(data)),
      usage_info:
        usage === undefined
          ? null
          : {
              token_usage: { ...NO_TOKENS, ...object(usage.token_usage) },
              num_llm_calls: usage.num_llm_calls ?? 0,
              seconds_between_calls: usage.seconds_between_calls ?? 0,
            },
      UUID: UUID ?? null,
      ...extra,
    },
  };
}

function withNulls(value: unknown, keys: readonly string[]): unknown {
  const fields = object(value);
  if (fields === undefined) return value ?? null;
  return { ...Object.fromEntries(keys.map((key) => [key, fields[key] ?? null])), ...fields };
}

function completeData(data: Json | undefined): Json | null {
  if (data === undefined) return null;
  const { input = null, output = null, chunk = null, payload = null, ...extra } = data;
  return { input, output, chunk, payload, ...extra };
}

function object(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
