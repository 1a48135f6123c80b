import type { BegunAnswer } from '../formats/openai/begun-answer.ts';
import type { CompletionPrompt } from '../formats/openai/prompt-schema.ts';
import type { ChatRequest } from '../formats/openai/request.ts';
import { type Endpoint, type Exchange, isChunked } from './exchange.ts';
import { encodeChatPrompt, encodeCompletionPrompt, type Prompt, type PromptEncoder } from './prompt.ts';
import { pinsDecode } from './request-controls.ts';

/** A request for the rest of an answer. */
export interface Continuation {
  readonly body: Readonly<Record<string, unknown>>;
  readonly prompt: Prompt;
  /** Where it is asked for: a chat too is gone on with as a completion, where its tokens are known. */
  readonly endpoint: Endpoint;
  /** Tokens of the answer that the client has already. */
  readonly tokens: number;
}

/** Fields by which the form of the answer is bound: its rest cannot be asked for on its own. */
const BOUND = [
  'response_format',
  'structured_outputs',
  'tools',
  'functions',
  'echo',
  'logprobs',
  'prompt_logprobs',
];
const GUIDED = /^guided_/;

/** Whether another engine could go on with an answer: one plain text, streamed, and no worker was asked for by name. */
export function canContinue({ endpoint, request, body, stream, controls, prompt }: Exchange): boolean {
  if (!stream || !isChunked(endpoint) || (request.n ?? 1) > 1 || pinsDecode(controls)) return false;
  if (prompt.length !== prompt.tokens.length) return false;
  return !Object.entries(body).some(
    ([name, value]) => value != null && value !== false && (BOUND.includes(name) || GUIDED.test(name)),
  );
}

/** Fields of a chat that a completion does not have. */
const CHAT_ONLY = new Set([
  'messages',
  'max_completion_tokens',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'functions',
  'function_call',
  'response_format',
  'add_generation_prompt',
  'continue_final_message',
  'chat_template',
  'chat_template_kwargs',
  'documents',
  'reasoning_effort',
  'include_reasoning',
  'top_logprobs',
  'logprobs',
  'modalities',
]);

/**
 * The request of the rest: what was generated joins the prompt, and the limits shrink by it. By tokens where they are
 * known, so that the engine is in the very state of the one that is gone; else by text, which may fall into others.
 */
export async function continueAnswer(
  exchange: Exchange,
  generated: BegunAnswer,
  encoder: PromptEncoder,
): Promise<Continuation | undefined> {
  const { endpoint, body } = exchange;
  const { tokens } = generated;
  const limits = shrunkLimits(withDefault(body, endpoint), tokens);
  if (limits === undefined) return undefined;
  const exact = continueTokens(exchange, generated, limits);
  if (exact !== undefined) return exact;
  const rest = restByText(exchange, generated, limits, encoder);
  if (rest === undefined) return undefined;
  const prompt =
    endpoint === 'chat_completions'
      ? await encodeChatPrompt(rest as unknown as ChatRequest, encoder)
      : await encodeCompletionPrompt(rest.prompt as CompletionPrompt, encoder);
  return { body: rest, prompt, endpoint, tokens };
}

function continueTokens(
  { endpoint, body, prompt, model }: Exchange,
  { ids, promptIds, tokens }: BegunAnswer,
  limits: Readonly<Record<string, number>>,
): Continuation | undefined {
  // An engine that looks out for stop strings holds back text of tokens that it has told of.
  if (ids === undefined || tokens === 0 || hasStop(body)) return undefined;
  const whole = Uint32Array.from([...(promptIds ?? prompt.tokens), ...ids]);
  const joined = { tokens: whole, length: whole.length, longest: whole.length };
  if (endpoint === 'completions') {
    const rest = { ...body, ...limits, prompt: [...whole] };
    return { body: rest, prompt: joined, endpoint, tokens };
  }
  if (promptIds === undefined) return undefined;
  const { contextLength } = model.pool;
  const { max_completion_tokens, ...kept } = limits;
  const max = max_completion_tokens ?? limits.max_tokens ?? (contextLength && contextLength - whole.length);
  if (max === undefined || max < 1) return undefined;
  const common = Object.entries(body).filter(([name]) => !CHAT_ONLY.has(name));
  const rest = { ...Object.fromEntries(common), ...kept, max_tokens: max, prompt: [...whole] };
  return { body: rest, prompt: joined, endpoint: 'completions', tokens };
}

function hasStop({ stop }: Exchange['body']): boolean {
  return Array.isArray(stop) ? stop.length > 0 : stop != null;
}

function restByText(
  { endpoint, body, prompt }: Exchange,
  { text }: BegunAnswer,
  limits: Readonly<Record<string, number>>,
  encoder: PromptEncoder,
): Readonly<Record<string, unknown>> | undefined {
  const rest = { ...body, ...limits };
  if (endpoint === 'chat_completions') {
    const messages = [...(body.messages as object[]), { role: 'assistant', content: text }];
    return { ...rest, messages, add_generation_prompt: false, continue_final_message: true };
  }
  if (typeof body.prompt === 'string') return { ...rest, prompt: body.prompt + text };
  const more = encoder.encodeMore?.(text);
  return more && { ...rest, prompt: [...prompt.tokens, ...more] };
}

/** A completion of no given length has sixteen tokens. */
function withDefault(body: Exchange['body'], endpoint: Endpoint): Exchange['body'] {
  return endpoint === 'completions' && body.max_tokens == null ? { ...body, max_tokens: 16 } : body;
}

/** Undefined when nothing is left to generate. */
function shrunkLimits(
  body: Readonly<Record<string, unknown>>,
  tokens: number,
): Record<string, number> | undefined {
  const limits: Record<string, number> = {};
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const limit = body[name];
    if (typeof limit !== 'number') continue;
    if (limit <= tokens) return undefined;
    limits[name] = limit - tokens;
  }
  if (typeof body.min_tokens === 'number') limits.min_tokens = Math.max(0, body.min_tokens - tokens);
  return limits;
}
