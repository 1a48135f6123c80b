import { fail } from '../base/errors.ts';
import type { AnswerKind } from '../formats/openai/answer.ts';
import type { CompletionPrompt } from '../formats/openai/prompt-schema.ts';
import {
  type ChatRequest,
  type CompletionRequest,
  chatRendering,
  parseChatRequest,
  parseCompletionRequest,
  requestedMaxTokens,
} from '../formats/openai/request.ts';
import { chatOfResponses, parseResponsesRequest } from '../formats/openai/responses-request.ts';
import type { PromptNamespace } from '../kv/hash.ts';
import type { ChatMessage, Tokenizer } from '../tokenizer/tokenizer.ts';
import { type AnswerForm, answerForm } from './answer-form.ts';
import {
  type BootstrapRoom,
  bootstrapRoom,
  type HandoffSide,
  handoffSide,
  type RemoteKv,
  remoteKv,
} from './handoff.ts';
import type { LogprobsRequest } from './logprobs.ts';

/** A request of either API in the engine's terms. */
export interface GenerationRequest {
  readonly kind: AnswerKind;
  readonly model: string;
  /** Each gets `choices` answers; choice numbers run through all of them. */
  readonly prompts: readonly Uint32Array[];
  readonly choices: number;
  /** 0: the prompt alone is wanted back. */
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stops: readonly string[];
  readonly includeStop: boolean;
  readonly seed: number;
  readonly namespace: PromptNamespace | undefined;
  readonly dpRank: number | undefined;
  readonly handoff: HandoffSide;
  /** Where a destination fetches from; undefined where the request does not say. */
  readonly remote: RemoteKv | undefined;
  readonly room: BootstrapRoom | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  /** Text put before each answer of a completion. */
  readonly echo: boolean;
  readonly form: AnswerForm;
  readonly logprobs: LogprobsRequest | undefined;
}

const MAX_CHOICES = 1024;
const MAX_STOPS = 64;
const MAX_LOGPROBS = 20;

export function chatGeneration(body: unknown, tokenizer: Tokenizer): GenerationRequest {
  return ofChat(parseChatRequest(body), tokenizer);
}

/** Of a response, which is the answer to a chat. */
export function responseGeneration(body: unknown, tokenizer: Tokenizer): GenerationRequest {
  const request = parseResponsesRequest(body);
  if (request.previous_response_id != null)
    throw invalid('previous_response_id', 'a simulated engine keeps no responses', 'Send the whole chat.');
  const chat = chatOfResponses(request);
  if (chat === undefined) throw invalid('input', 'it cannot be read as messages', 'Send a text or messages.');
  return { ...ofChat(chat, tokenizer), includeUsage: true };
}

function ofChat(request: ChatRequest, tokenizer: Tokenizer): GenerationRequest {
  const messages = request.messages as readonly ChatMessage[];
  const tokens = tokenizer.encodeChat(messages, chatRendering(request));
  if (request.top_logprobs != null && request.logprobs !== true)
    throw invalid('top_logprobs', 'it needs logprobs', 'Set logprobs to true.');
  const top = request.logprobs === true ? (request.top_logprobs ?? 0) : undefined;
  return { ...shared('chat', request, [tokens]), echo: false, logprobs: logprobsOf('top_logprobs', top) };
}

export function completionGeneration(body: unknown, tokenizer: Tokenizer): GenerationRequest {
  const request = parseCompletionRequest(body);
  const prompts = promptsOf(request.prompt, tokenizer);
  const echo = request.echo ?? false;
  if (request.max_tokens === 0 && !echo)
    throw invalid('max_tokens', 'no token is asked for', 'Ask for one, or set echo.');
  const logprobs = logprobsOf('logprobs', request.logprobs ?? undefined);
  return { ...shared('completion', request, prompts), echo, logprobs };
}

/** A text, token ids, or a list of either, each as tokens. */
export function promptsOf(prompt: CompletionPrompt, tokenizer: Tokenizer): Uint32Array[] {
  if (typeof prompt === 'string') return [tokenizer.encode(prompt)];
  if (typeof prompt[0] === 'number') return [Uint32Array.from(prompt as number[])];
  return (prompt as (string | number[])[]).map((one) =>
    typeof one === 'string' ? tokenizer.encode(one) : Uint32Array.from(one),
  );
}

function shared(
  kind: AnswerKind,
  request: ChatRequest | CompletionRequest,
  prompts: readonly Uint32Array[],
): Omit<GenerationRequest, 'echo' | 'logprobs'> {
  const choices = request.n ?? 1;
  const stops = request.stop == null ? [] : [request.stop].flat();
  if (prompts.length * choices > MAX_CHOICES)
    throw invalid('n', `${prompts.length} prompts of ${choices} choices exceed ${MAX_CHOICES} answers`, LESS);
  if (stops.length > MAX_STOPS)
    throw invalid('stop', `${stops.length} stop strings exceed ${MAX_STOPS}`, LESS);
  if (prompts.some((prompt) => prompt.length === 0))
    throw invalid('prompt', 'it has no tokens', 'Send at least one.');
  const cacheSalt = request.cache_salt ?? request.nvext?.cache_salt ?? undefined;
  return {
    kind,
    model: request.model,
    prompts,
    choices,
    maxTokens: requestedMaxTokens(request),
    minTokens: request.min_tokens ?? 0,
    ignoreEos: request.ignore_eos ?? false,
    stops,
    includeStop: request.include_stop_str_in_output === true,
    form: answerForm(request),
    seed: Math.trunc(request.seed ?? 0) | 0,
    namespace: cacheSalt === undefined ? undefined : { cacheSalt },
    dpRank: rankOf(request.nvext?.dp_rank),
    handoff: handoffSide(request.kv_transfer_params),
    remote: remoteKv(request.kv_transfer_params),
    room: bootstrapRoom(request),
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
    continuousUsage:
      (request.stream_options?.include_usage && request.stream_options.continuous_usage_stats) ?? false,
  };
}

/** The reference writes the largest u32 for a rank that is not set. */
function rankOf(rank: number | null | undefined): number | undefined {
  return rank == null || rank === 2 ** 32 - 1 ? undefined : rank;
}

const LESS = 'Ask for less at once.';

/** How many alternatives; a request without is one for no log probabilities. */
function logprobsOf(param: string, top: unknown): LogprobsRequest | undefined {
  if (top === undefined) return undefined;
  if (Number.isInteger(top) && (top as number) >= 0 && (top as number) <= MAX_LOGPROBS)
    return { top: top as number };
  throw invalid(param, `${JSON.stringify(top)} is not from 0 to ${MAX_LOGPROBS}`, '');
}

function invalid(param: string, reason: string, mend: string): Error {
  return fail('KV_REQUEST_INVALID', { param, reason: `${param}: ${reason}`, mend });
}
