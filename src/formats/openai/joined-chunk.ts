import type { ChunkHead } from './begun-answer.ts';

/** What becomes of a chunk on its way to the client. */
export interface Joining {
  /** The client did not ask for usage on every chunk. */
  readonly stripUsage: boolean;
  /** Nor for token ids. */
  readonly stripTokenIds: boolean;
  /** What another engine had done of the answer. */
  readonly begun?: {
    readonly promptTokens: number | undefined;
    readonly tokens: number;
    /** The answer is a chat, and this engine goes on with it as a completion of tokens. */
    readonly chat?: ChunkHead | undefined;
  };
}

interface Chunk extends Record<string, unknown> {
  choices?: Record<string, unknown>[];
  usage?: Record<string, unknown> | null | undefined;
}

/** The JSON of a chunk as the client is to see it. */
export function joinChunk(json: string, { stripUsage, stripTokenIds, begun }: Joining): string {
  let chunk = JSON.parse(json) as Chunk;
  if (begun?.chat !== undefined) chunk = asChat(chunk, begun.chat);
  if (stripTokenIds) chunk = withoutIds(chunk);
  if (stripUsage) chunk = { ...chunk, usage: undefined };
  else if (begun !== undefined && chunk.usage != null)
    chunk = { ...chunk, usage: wholeUsage(chunk.usage, begun) };
  return JSON.stringify(chunk);
}

/** What was generated before was part of the prompt, if in other tokens, and belongs to the answer. */
function wholeUsage(
  usage: Record<string, unknown>,
  { promptTokens, tokens }: NonNullable<Joining['begun']>,
): Record<string, unknown> {
  const prompt = promptTokens ?? Number(usage.prompt_tokens) - tokens;
  const completion = Number(usage.completion_tokens) + tokens;
  return {
    ...usage,
    prompt_tokens: prompt,
    total_tokens: prompt + completion,
    completion_tokens: completion,
  };
}

function asChat({ usage, choices = [], ...rest }: Chunk, head: ChunkHead): Chunk {
  return {
    ...rest,
    ...head,
    object: 'chat.completion.chunk',
    choices: choices.map(({ text, prompt_token_ids: _, ...choice }) => ({
      ...choice,
      delta: { content: text },
    })),
    usage,
  };
}

function withoutIds({ choices = [], prompt_token_ids, ...rest }: Chunk): Chunk {
  return {
    ...rest,
    ...(prompt_token_ids !== undefined && { prompt_token_ids: null }),
    choices: choices.map(({ token_ids, prompt_token_ids: ids, ...choice }) => ({
      ...choice,
      ...(ids !== undefined && { prompt_token_ids: null }),
      ...(token_ids !== undefined && { token_ids: null }),
    })),
  };
}
