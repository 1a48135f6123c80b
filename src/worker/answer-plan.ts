import { fail } from '../base/errors.ts';
import { hash32 } from '../base/random.ts';
import type { FinishReason } from '../formats/openai/answer.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { answerText, sentenceEnd } from './answer-text.ts';

/** An answer in full. */
export interface PlannedAnswer {
  readonly tokens: Uint32Array;
  readonly length: AnswerLength;
}

/** The reference's words. */
const BEYOND_LIMITS = 'request exceeds worker admission limits';

/** What bounds the length of an answer, in tokens. */
export interface AnswerLimits {
  readonly promptTokens: number;
  /** Asked for by the request. */
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  /** Longest prompt and answer together. */
  readonly contextLength: number;
  /** What the KV blocks of a rank hold. */
  readonly poolTokens: number;
  /** Of answers that nobody bounds. */
  readonly meanTokens: number;
}

export interface AnswerLength {
  readonly tokens: number;
  /** `stop`: the answer ends by itself; its last token is then the end-of-sequence token. */
  readonly reason: Extract<FinishReason, 'stop' | 'length'>;
}

/**
 * How long the simulated model talks. A request that names its maximum gets exactly that many tokens, as load
 * generators expect; another gets an answer that ends by itself, its length decided by `key`.
 */
export function answerLength(key: number, limits: AnswerLimits): AnswerLength {
  const { promptTokens, maxTokens, minTokens, contextLength, poolTokens } = limits;
  const room = Math.min(contextLength, poolTokens) - promptTokens;
  const requested = promptTokens + Math.max(maxTokens ?? 1, minTokens);
  if (requested > contextLength)
    throw fail('KV_CONTEXT_LENGTH', {
      limit: contextLength,
      requested,
      prompt: promptTokens,
      output: requested - promptTokens,
      param: maxTokens === undefined ? undefined : 'max_tokens',
    });
  if (requested > poolTokens) throw fail('KV_ENGINE_REJECTED', { reason: BEYOND_LIMITS });
  if (maxTokens !== undefined) {
    if (minTokens <= maxTokens) return { tokens: maxTokens, reason: 'length' };
    const reason = `min_tokens: ${minTokens} is above max_tokens (${maxTokens})`;
    throw fail('KV_REQUEST_INVALID', { param: 'min_tokens', reason, mend: 'Lower min_tokens.' });
  }
  if (limits.ignoreEos) return { tokens: room, reason: 'length' };
  const natural = sentenceEnd(limits.meanTokens * (0.5 + hash32(key, 0, 1) / 2 ** 32)) + 1;
  const tokens = Math.max(natural, minTokens);
  return tokens <= room ? { tokens, reason: 'stop' } : { tokens: room, reason: 'length' };
}

/** A given text as an answer: it ends by itself, or where the request or the engine has no room for more. */
export function spokenAnswer(
  text: string,
  { promptTokens, maxTokens, contextLength, poolTokens }: AnswerLimits,
  tokenizer: Tokenizer,
): PlannedAnswer {
  const ids = withoutBos(tokenizer.encode(text), tokenizer);
  const end = tokenizer.eosIds[0];
  const whole = end === undefined ? ids : Uint32Array.of(...ids, end);
  const room = Math.min(maxTokens ?? whole.length, contextLength - promptTokens, poolTokens - promptTokens);
  const tokens = whole.subarray(0, room);
  return { tokens, length: { tokens: tokens.length, reason: room < whole.length ? 'length' : 'stop' } };
}

/** The tokens of an answer: readable text decided by `key`, in the model's own tokens. */
export function answerTokens(key: number, length: AnswerLength, tokenizer: Tokenizer): Uint32Array {
  const end = length.reason === 'stop' ? tokenizer.eosIds[0] : undefined;
  const spoken = end === undefined ? length.tokens : length.tokens - 1;
  const tokens = new Uint32Array(length.tokens);
  // One token is at most a few characters of such text; the loop is for tokenizers with longer ones.
  for (let characters = spoken; ; characters = 2 * characters + 64) {
    const ids = withoutBos(tokenizer.encode(answerText(key, characters)), tokenizer);
    if (ids.length < spoken) continue;
    tokens.set(ids.subarray(0, spoken));
    break;
  }
  if (end !== undefined) tokens[spoken] = end;
  return tokens;
}

function withoutBos(ids: Uint32Array, { bosId }: Tokenizer): Uint32Array {
  return bosId !== undefined && ids[0] === bosId ? ids.subarray(1) : ids;
}
