import type { ChatRequest, CompletionRequest } from '../formats/openai/request.ts';
import type { Endpoint, Exchange } from './exchange.ts';
import { encodeChatPrompt, encodeCompletionPrompt, type Prompt, type PromptEncoder } from './prompt.ts';
import { pinsDecode } from './request-controls.ts';

/** An answer as far as the client has it, to be gone on with by another engine. */
export interface Generated {
  readonly text: string;
  readonly tokens: number;
}

/** A request for the rest of an answer. */
export interface Continuation {
  readonly body: Readonly<Record<string, unknown>>;
  readonly prompt: Prompt;
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
export function canContinue({ request, body, stream, controls, prompt }: Exchange): boolean {
  if (!stream || (request.n ?? 1) > 1 || pinsDecode(controls)) return false;
  if (prompt.length !== prompt.tokens.length) return false;
  return !Object.entries(body).some(
    ([name, value]) => value != null && value !== false && (BOUND.includes(name) || GUIDED.test(name)),
  );
}

/** The request of the rest: what was generated joins the prompt, and the limits shrink by it. */
export async function continueAnswer(
  { endpoint, body, prompt }: Exchange,
  generated: Generated,
  encoder: PromptEncoder,
): Promise<Continuation | undefined> {
  const { text, tokens } = generated;
  const limits = shrunkLimits(withDefault(body, endpoint), tokens);
  if (limits === undefined) return undefined;
  if (endpoint === 'chat_completions') {
    const messages = [...(body.messages as object[]), { role: 'assistant', content: text }];
    const rest = {
      ...body,
      ...limits,
      messages,
      add_generation_prompt: false,
      continue_final_message: true,
    };
    return { body: rest, prompt: await encodeChatPrompt(rest as unknown as ChatRequest, encoder), tokens };
  }
  if (typeof body.prompt === 'string') {
    const rest = { ...body, ...limits, prompt: body.prompt + text };
    return {
      body: rest,
      prompt: await encodeCompletionPrompt(rest as unknown as CompletionRequest, encoder),
      tokens,
    };
  }
  const more = encoder.encodeMore?.(text);
  if (more === undefined) return undefined;
  const ids = [...prompt.tokens, ...more];
  const rest = { ...body, ...limits, prompt: ids };
  return {
    body: rest,
    prompt: await encodeCompletionPrompt(rest as unknown as CompletionRequest, encoder),
    tokens,
  };
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
