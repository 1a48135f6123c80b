import { readUsage, type Usage } from './usage.ts';

/** What a relay needs to know of one chunk of a streamed answer, or of a whole answer. */
export interface ChunkFacts {
  /** How many choices it has parts of; the chunk that only reports usage has none. */
  readonly choices: number;
  /** Generated tokens in it: as many as its token ids where it lists them, else one per choice with text. */
  readonly tokens: number;
  readonly usage: Usage | undefined;
  /** Message of an error that came instead. */
  readonly error: string | undefined;
}

/** Reads the JSON of a chunk; undefined if it is none. */
export function readChunk(json: string): ChunkFacts | undefined {
  let chunk: unknown;
  try {
    chunk = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof chunk !== 'object' || chunk === null) return undefined;
  const { choices, usage, error } = chunk as Record<string, unknown>;
  const parts = Array.isArray(choices) ? choices : [];
  return {
    choices: parts.length,
    tokens: parts.reduce((sum: number, part: unknown) => sum + tokensOf(part), 0),
    usage: readUsage(usage),
    error: readErrorMessage(error),
  };
}

/** The message of an error body of any engine: an object with a message, or a text. */
export function readErrorMessage(error: unknown): string | undefined {
  if (typeof error === 'string') return error;
  if (typeof error !== 'object' || error === null) return undefined;
  const { message } = error as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(error);
}

function tokensOf(part: unknown): number {
  if (typeof part !== 'object' || part === null) return 0;
  const { token_ids, text, delta, message } = part as Record<string, unknown>;
  if (Array.isArray(token_ids)) return token_ids.length;
  return [text, ...textsOf(delta), ...textsOf(message)].some(hasText) ? 1 : 0;
}

function textsOf(delta: unknown): unknown[] {
  if (typeof delta !== 'object' || delta === null) return [];
  const { content, reasoning_content, reasoning, tool_calls, refusal } = delta as Record<string, unknown>;
  return [content, reasoning_content, reasoning, tool_calls, refusal];
}

function hasText(value: unknown): boolean {
  return (typeof value === 'string' || Array.isArray(value)) && value.length > 0;
}
