import { readUsage, type Usage } from '../formats/openai/usage.ts';

/** What the generator wants to know of one event of an OpenAI stream. */
export interface ChunkFacts {
  /** It has a choice, be it only a role. */
  readonly choices: boolean;
  /** It carries text, reasoning or a tool call. */
  readonly content: boolean;
  readonly usage?: (Usage & { readonly reasoningTokens?: number }) | undefined;
  readonly finishReason?: string | undefined;
  readonly error?: string | undefined;
  readonly worker?: string | undefined;
}

// A quote inside a JSON string is escaped, so that these can only match keys of the chunk itself.
const CONTENT = /"(?:content|text|reasoning_content|reasoning)"\s*:\s*"(?!")|"tool_calls"\s*:\s*\[\s*\{/;
const FINISH = /"finish_reason"\s*:\s*"([^"]*)"/;
const NO_CHOICES = /"choices"\s*:\s*\[\s*\]/;
const WORTH_PARSING = /"(?:usage|error|nvext)"\s*:\s*["{]/;

/**
 * Looks into an event's data (latin1 text) without parsing what it need not: at 200,000 chunks a second JSON.parse
 * of each would take a third of the CPU. Only events with usage, errors or extensions are parsed.
 */
export function chunkFacts(data: string): ChunkFacts {
  const choices = data.includes('"choices"') && !NO_CHOICES.test(data);
  const content = choices && CONTENT.test(data);
  const finishReason = choices ? FINISH.exec(data)?.[1] : undefined;
  if (!WORTH_PARSING.test(data)) return { choices, content, finishReason };
  return { choices, content, finishReason, ...parsedFacts(data) };
}

/** Text of a chunk's first choice, for those who keep it; the data is latin1 text of UTF-8 bytes. */
export function chunkText(data: string): string {
  const choice = (parse(data)?.choices as readonly Record<string, unknown>[] | undefined)?.[0];
  const delta = choice?.delta as Record<string, unknown> | undefined;
  const text = choice?.text ?? delta?.content ?? delta?.reasoning_content ?? delta?.reasoning;
  return typeof text === 'string' ? text : '';
}

/** The message inside an error body or event, whatever its shape; the text itself when it is not JSON. */
export function errorMessage(body: unknown, fallback: string): string {
  const error = (body as { error?: unknown } | undefined)?.error ?? body;
  if (typeof error === 'string') return error;
  const { message, detail } = (error ?? {}) as { message?: unknown; detail?: unknown };
  return typeof message === 'string' ? message : detail === undefined ? fallback : JSON.stringify(detail);
}

function parsedFacts(data: string): Partial<ChunkFacts> {
  const chunk = parse(data);
  if (chunk === undefined) return { error: `malformed chunk: ${data.slice(0, 80)}` };
  if (chunk.error !== undefined && chunk.error !== null)
    return { error: errorMessage(chunk, data.slice(0, 200)) };
  const usage = readUsage(chunk.usage);
  const details = (chunk.usage as { completion_tokens_details?: { reasoning_tokens?: unknown } } | undefined)
    ?.completion_tokens_details;
  const reasoning = details?.reasoning_tokens;
  const worker = workerOf(chunk.nvext);
  return {
    ...(usage && { usage: typeof reasoning === 'number' ? { ...usage, reasoningTokens: reasoning } : usage }),
    ...(worker !== undefined && { worker }),
  };
}

/** Worker that an answer's extension names: the decode worker where prefill and decode are apart. */
function workerOf(nvext: unknown): string | undefined {
  const ids = (nvext as { worker_id?: unknown } | undefined)?.worker_id;
  if (typeof ids === 'number' || typeof ids === 'string') return String(ids);
  const { decode_worker_id, prefill_worker_id } = (ids ?? {}) as Record<string, unknown>;
  const id = decode_worker_id ?? prefill_worker_id;
  return id === undefined || id === null ? undefined : String(id);
}

function parse(data: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data, 'latin1').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
