import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { completionPromptSchema } from './prompt-schema.ts';

const part = z.looseObject({ type: z.string(), text: z.string().optional() });
const message = z.looseObject({
  role: z.string().min(1),
  content: z.union([z.string(), z.array(part), z.null()]).optional(),
});
/** A u64 as a JSON integer, or as decimal text; a number beyond 2^53 is rounded unless `wholeInstanceIds` saw the body. */
const instanceId = z.union([
  z
    .number()
    .min(0)
    .refine(Number.isInteger)
    .transform((id) => BigInt(id).toString()),
  z.string().regex(/^\d{1,20}$/),
]);

/** Dynamo's own, and no others. */
export const STANDARD_AGENT_HINTS = [
  'priority',
  'strict_priority',
  'osl',
  'speculative_prefill',
  'latency_sensitivity',
] as const;

/** A count, or one of the toolkit's words. */
const amount = z.union([z.int().min(0), z.string().regex(/^(low|medium|high)$/i)]);
const agentHints = z.looseObject({
  priority: z.int().optional(),
  strict_priority: z.int().min(0).optional(),
  osl: amount.optional(),
  speculative_prefill: z.boolean().optional(),
  latency_sensitivity: z.number().optional(),
  // NeMo Agent Toolkit's, and what a prediction is looked up by.
  prefix_id: z.string().min(1).optional(),
  total_requests: z.int().min(1).optional(),
  iat: amount.optional(),
  function_path: z.array(z.string()).max(64).optional(),
  call_index: z.int().min(1).optional(),
});

const nvext = z.looseObject({
  agent_hints: agentHints.nullish(),
  annotations: z.unknown().optional(),
  cache_salt: z.string().nullish(),
  backend_instance_id: instanceId.nullish(),
  decode_worker_id: instanceId.nullish(),
  prefill_worker_id: instanceId.nullish(),
  dp_rank: z.int().min(0).nullish(),
  prefill_dp_rank: z.int().min(0).nullish(),
});

/** Fields that requests of every endpoint may have. */
export const sharedFields = {
  model: z.string().min(1),
  stream: z.boolean().nullish(),
  stream_options: z
    .looseObject({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
    .nullish(),
  max_tokens: z.int().min(1).nullish(),
  min_tokens: z.int().min(0).nullish(),
  n: z.int().min(1).max(128).nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  seed: z.number().nullish(),
  ignore_eos: z.boolean().nullish(),
  priority: z.int().nullish(),
  cache_salt: z.string().nullish(),
  kv_transfer_params: z.record(z.string(), z.unknown()).nullish(),
  nvext: nvext.nullish(),
};

export const chatRequestSchema = z.looseObject({
  ...sharedFields,
  messages: z.array(message).min(1),
  max_completion_tokens: z.int().min(1).nullish(),
  tools: z.array(z.unknown()).nullish(),
  add_generation_prompt: z.boolean().nullish(),
  continue_final_message: z.boolean().nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  reasoning_effort: z.string().nullish(),
});

export const completionRequestSchema = z.looseObject({
  ...sharedFields,
  // None at all: only the prompt is echoed, with its log probabilities.
  max_tokens: z.int().min(0).nullish(),
  prompt: completionPromptSchema,
  echo: z.boolean().nullish(),
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;
export type CompletionRequest = z.infer<typeof completionRequestSchema>;
/** Extensions of a request for the router (`nvext` in the body). */
export type RequestExtensions = z.infer<typeof nvext>;

/** Checks a parsed body; what is not named by the schema is kept. Throws `KV_REQUEST_INVALID`. */
export function parseChatRequest(body: unknown): ChatRequest {
  return parseBody(chatRequestSchema, body);
}

export function parseCompletionRequest(body: unknown): CompletionRequest {
  return parseBody(completionRequestSchema, body);
}

type Rendering =
  | 'add_generation_prompt'
  | 'continue_final_message'
  | 'tools'
  | 'chat_template_kwargs'
  | 'reasoning_effort';

/** What a chat request says of how its messages become a prompt. */
export function chatRendering(request: Partial<Pick<ChatRequest, Rendering>>) {
  const { tools, reasoning_effort: reasoningEffort, chat_template_kwargs: variables } = request;
  return {
    addGenerationPrompt: request.add_generation_prompt ?? true,
    continueFinalMessage: request.continue_final_message ?? false,
    ...(tools != null && { tools }),
    ...(variables != null && { variables }),
    ...(reasoningEffort != null && { reasoningEffort }),
  };
}

/** The most tokens that the request lets the engine generate, if it says so. */
export function requestedMaxTokens(request: Readonly<Record<string, unknown>>): number | undefined {
  const { max_completion_tokens: newer, max_output_tokens: responses, max_tokens: older } = request;
  return ((newer ?? responses ?? older) as number | null | undefined) ?? undefined;
}

/** Checks a body by a schema; what it does not name is kept. Throws `KV_REQUEST_INVALID`. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const param = issue.path.join('.');
  throw fail('KV_REQUEST_INVALID', {
    param: param === '' ? undefined : param,
    reason: `${param === '' ? 'body' : param}: ${issue.message}${received(body, issue.path)}`,
    mend: 'See /openapi.json for the fields and their types.',
  });
}

/** Of a failed union, the branch that got furthest tells most. */
function deepest(issues: readonly z.core.$ZodIssue[]): { path: PropertyKey[]; message: string } {
  const issue = issues[0];
  if (issue === undefined) return { path: [], message: 'is not valid' };
  if (issue.code !== 'invalid_union') return issue;
  const inner = issue.errors.map(deepest).sort((a, b) => b.path.length - a.path.length)[0];
  if (inner === undefined || inner.path.length === 0)
    return { path: issue.path, message: 'has a wrong type' };
  return { path: [...issue.path, ...inner.path], message: inner.message };
}

function received(body: unknown, path: readonly PropertyKey[]): string {
  let value: unknown = body;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  if (value === undefined) return '';
  const shown = JSON.stringify(value) ?? String(value);
  return ` (got ${shown.length > 60 ? `${shown.slice(0, 57)}...` : shown})`;
}
