/** Token counts of a finished answer. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens that the engine took from its cache; undefined if it did not tell, which is not 0. */
  readonly cachedTokens?: number | undefined;
}

/** The wire form, keys in vLLM's order. */
export interface UsageBody {
  readonly prompt_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number };
}

export function usageBody(usage: Usage): UsageBody {
  const body = {
    prompt_tokens: usage.promptTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    completion_tokens: usage.completionTokens,
  };
  if (usage.cachedTokens === undefined) return body;
  return { ...body, prompt_tokens_details: { cached_tokens: usage.cachedTokens } };
}

/** Reads the `usage` of an answer or chunk; undefined if there is none with counts. */
export function readUsage(value: unknown): Usage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { prompt_tokens, completion_tokens, prompt_tokens_details } = value as Record<string, unknown>;
  if (!isCount(prompt_tokens)) return undefined;
  const details = prompt_tokens_details as Record<string, unknown> | null | undefined;
  const cached = details?.cached_tokens;
  return {
    promptTokens: prompt_tokens,
    completionTokens: isCount(completion_tokens) ? completion_tokens : 0,
    ...(isCount(cached) && { cachedTokens: cached }),
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
