import { type EngineError, readBrokenFinish, readEngineError } from './engine-error.ts';
import { isResponse, readResponse } from './response-event.ts';
import { readUsage, type Usage } from './usage.ts';

/** What a relay needs to know of one chunk of a streamed answer, or of a whole answer. */
export interface ChunkFacts {
  /** How many choices it has parts of; the chunk that only reports usage has none. */
  readonly choices: number;
  /** Generated tokens in it: as many as its token ids where it lists them, else one per choice with text. */
  readonly tokens: number;
  readonly usage: Usage | undefined;
  /** An error that came instead, or that a choice ended with. */
  readonly error: EngineError | undefined;
  /** Text of the first choice; undefined if it has parts that are no plain text, such as tool calls. */
  readonly text: string | undefined;
  /** The first choice's generated tokens, where it lists them. */
  readonly tokenIds: readonly number[] | undefined;
  /** Choices that end with it. */
  readonly finishes: number;
  /** Cached blocks of the prompt by tier, where the engine tells (Dynamo's `nvext.cache_hit_breakdown`). */
  readonly cachedBlocks: CachedBlocks | undefined;
  /** No event comes after it; other streams than that of a response end with `[DONE]`. */
  readonly isLast?: boolean;
  /** By which an engine may be asked to go on with a response. */
  readonly responseId?: string | undefined;
}

export interface CachedBlocks {
  readonly device: number;
  readonly host: number;
  readonly disk: number;
}

/** Reads the JSON of a chunk; undefined if it is none. `begun` says that tokens of the answer came before it. */
export function readChunk(json: string, begun = false): ChunkFacts | undefined {
  let chunk: unknown;
  try {
    chunk = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof chunk !== 'object' || chunk === null) return undefined;
  if (isResponse(chunk as Record<string, unknown>))
    return readResponse(chunk as Record<string, unknown>, begun);
  const { choices, usage, completion_usage, nvext, error, object } = chunk as Record<string, unknown>;
  const parts = Array.isArray(choices) ? choices : [];
  return {
    choices: parts.length,
    tokens: parts.reduce((sum: number, part: unknown) => sum + tokensOf(part), 0),
    // Dynamo's token workers name it otherwise.
    usage: readUsage(usage) ?? readUsage(completion_usage),
    // SGLang's and TensorRT-LLM's error is the whole object where vLLM's is a field of it.
    error: readEngineError(object === 'error' ? (error ?? chunk) : error, begun) ?? brokenFinish(parts),
    text: textOf(parts[0]),
    tokenIds: tokenIdsOf(parts[0]),
    finishes: parts.filter((part) => finishOf(part) != null).length,
    cachedBlocks: readCachedBlocks(nvext),
  };
}

function finishOf(part: unknown): unknown {
  return (part as { finish_reason?: unknown } | null)?.finish_reason;
}

function brokenFinish(parts: readonly unknown[]): EngineError | undefined {
  for (const part of parts) {
    const error = readBrokenFinish(finishOf(part));
    if (error !== undefined) return error;
  }
  return undefined;
}

function readCachedBlocks(nvext: unknown): CachedBlocks | undefined {
  const breakdown = (nvext as { cache_hit_breakdown?: unknown } | null | undefined)?.cache_hit_breakdown;
  if (typeof breakdown !== 'object' || breakdown === null) return undefined;
  const count = (name: string): number => {
    const value = (breakdown as Record<string, unknown>)[name];
    return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0;
  };
  return { device: count('device_blocks'), host: count('host_blocks'), disk: count('disk_blocks') };
}

function tokenIdsOf(part: unknown): readonly number[] | undefined {
  const ids = (part as { token_ids?: unknown } | null | undefined)?.token_ids;
  return Array.isArray(ids) ? ids : undefined;
}

function tokensOf(part: unknown): number {
  if (typeof part !== 'object' || part === null) return 0;
  const { token_ids, text, delta, message } = part as Record<string, unknown>;
  if (Array.isArray(token_ids)) return token_ids.length;
  return [text, ...textsOf(delta), ...textsOf(message)].some(hasText) ? 1 : 0;
}

function textOf(part: unknown): string | undefined {
  if (typeof part !== 'object' || part === null) return '';
  const { text, delta } = part as Record<string, unknown>;
  if (typeof text === 'string') return text;
  const [content, ...others] = textsOf(delta);
  if (others.some(hasText)) return undefined;
  return typeof content === 'string' ? content : '';
}

function textsOf(delta: unknown): unknown[] {
  if (typeof delta !== 'object' || delta === null) return [];
  const { content, reasoning_content, reasoning, tool_calls, refusal } = delta as Record<string, unknown>;
  return [content, reasoning_content, reasoning, tool_calls, refusal];
}

function hasText(value: unknown): boolean {
  return (typeof value === 'string' || Array.isArray(value)) && value.length > 0;
}
