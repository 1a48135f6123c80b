import { EVENT_TYPES, type TokenUsage, type TraceEvent } from './event.ts';
import { pythonText } from './python-text.ts';
import { rawMember } from './raw-member.ts';

type Json = Readonly<Record<string, unknown>>;

/** Either the checked event, or why it is none. */
export type ReadEvent =
  | { readonly event: TraceEvent; readonly fault?: undefined }
  | { readonly event?: undefined; readonly fault: string };

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/**
 * Checks one parsed event. Faults are what no analysis could use: no type, an unknown type, no finite time.
 * Everything optional may be null or absent. `source` is the JSON text, for number literals inside prompts.
 */
export function readEvent(value: unknown, source?: string): ReadEvent {
  if (!isObject(value)) return { fault: 'is not an object' };
  const payload = value.payload;
  if (!isObject(payload)) return { fault: 'has no payload' };
  const type = payload.event_type;
  const known = typeof type === 'string' ? EVENT_TYPES.get(type) : undefined;
  if (known === undefined)
    return { fault: `has the unknown event_type ${JSON.stringify(type) ?? 'undefined'}` };
  const timeS = seconds(payload.event_timestamp);
  if (timeS === undefined)
    return {
      fault: `has no usable event_timestamp (${JSON.stringify(payload.event_timestamp) ?? 'absent'})`,
    };
  const ancestry = isObject(value.function_ancestry) ? value.function_ancestry : {};
  const usageInfo = isObject(payload.usage_info) ? payload.usage_info : undefined;
  const { kind, phase } = known;
  const isLlm = kind === 'LLM';
  const event: TraceEvent = {
    type: type as string,
    kind,
    phase,
    timeS,
    spanStartS: phase === 'end' ? seconds(payload.span_event_timestamp) : undefined,
    uuid: text(payload.UUID),
    name: text(payload.name),
    framework: textOrNull(payload.framework),
    parentId: text(value.parent_id),
    functionId: text(ancestry.function_id) || 'root',
    functionName: text(ancestry.function_name) || 'root',
    functionParentId: textOrNull(ancestry.parent_id),
    functionParentName: textOrNull(ancestry.parent_name),
    usage: usageInfo === undefined ? undefined : readUsage(usageInfo.token_usage),
    secondsBetweenCalls: usageInfo === undefined ? 0 : count(usageInfo.seconds_between_calls),
    inputText: isLlm && phase === 'start' ? dataText(payload, 'input', source) : '',
    outputText: isLlm && phase === 'end' ? dataText(payload, 'output', source) : '',
    chunkText: isLlm && phase === 'chunk' ? dataText(payload, 'chunk', source) : '',
    raw: value,
  };
  return { event };
}

function seconds(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : undefined;
}

function count(value: unknown): number {
  const parsed = typeof value === 'string' ? Number(value) : value;
  return typeof parsed === 'number' && Number.isFinite(parsed) ? Math.trunc(parsed) : 0;
}

function readUsage(value: unknown): TokenUsage {
  const usage = isObject(value) ? value : {};
  return {
    prompt: count(usage.prompt_tokens),
    completion: count(usage.completion_tokens),
    cached: count(usage.cached_tokens),
    reasoning: count(usage.reasoning_tokens),
    total: count(usage.total_tokens),
  };
}

function dataText(payload: Json, member: 'input' | 'output' | 'chunk', source?: string): string | null {
  const data = payload.data;
  if (!isObject(data)) return '';
  const value = data[member];
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  return pythonText(
    value,
    source === undefined ? undefined : () => rawMember(source, ['payload', 'data', member]) ?? '',
  );
}
