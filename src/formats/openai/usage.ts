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
  const fields = value as Record<string, unknown>;
  // The Responses API has names of its own.
  const prompt = fields.prompt_tokens ?? fields.input_tokens;
  const completion = fields.completion_tokens ?? fields.output_tokens;
  if (!isCount(prompt)) return undefined;
  const details = fields.prompt_tokens_details ?? fields.input_tokens_details;
  const cached = (details as Record<string, unknown> | null | undefined)?.cached_tokens;
  return {
    promptTokens: prompt,
    completionTokens: isCount(completion) ? completion : 0,
    ...(isCount(cached) && { cachedTokens: cached }),
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
