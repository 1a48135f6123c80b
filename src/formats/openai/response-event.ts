import { namedFrame } from '../sse/frame.ts';
import type { ChunkFacts } from './answer-chunk.ts';
import { readEngineError } from './engine-error.ts';
import type { ErrorBody } from './error-body.ts';
import { readUsage } from './usage.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Events that carry what was generated. */
const DELTA =
  /^response\.(output_text|refusal|reasoning_text|reasoning_summary_text|function_call_arguments|mcp_call_arguments|custom_tool_call_input)\.delta$/;
/** Events after which none comes. */
const LAST = /^(response\.(completed|incomplete|failed)|error)$/;

/** Whether an object is a response, or an event of one. */
export function isResponse({ object, type }: Fields): boolean {
  return (
    object === 'response' || (typeof type === 'string' && (type.startsWith('response.') || type === 'error'))
  );
}

/** Reads a response, or one event of its stream. */
export function readResponse(event: Fields, begun: boolean): ChunkFacts {
  const type = typeof event.type === 'string' ? event.type : undefined;
  const response = type === undefined ? event : fieldsOf(event.response);
  const isLast = type !== undefined && LAST.test(type);
  const usage = type === undefined || isLast ? readUsage(response.usage) : undefined;
  const failure = type === 'error' ? (event.error ?? event) : response.error;
  return {
    choices: 0,
    tokens: type !== undefined && DELTA.test(type) && event.delta !== '' ? 1 : 0,
    usage,
    error: failure == null ? undefined : readEngineError(failure, begun),
    // It cannot be gone on with.
    text: undefined,
    tokenIds: undefined,
    finishes: isLast ? 1 : 0,
    cachedBlocks: undefined,
    isLast,
    responseId: typeof response.id === 'string' ? response.id : undefined,
  };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** The event by which a response fails in the middle: in the form of its API, and in the one that all clients know. */
export function responseErrorFrame({ error }: ErrorBody, sequence = 0): string {
  const { code, message, param } = error;
  return namedFrame('error', { code: String(code), message, param, sequence_number: sequence, error });
}
