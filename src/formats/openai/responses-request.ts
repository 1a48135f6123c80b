import { z } from 'zod';
import { type ChatRequest, parseBody, sharedFields } from './request.ts';

export const responsesRequestSchema = z.looseObject({
  ...sharedFields,
  input: z.union([z.string(), z.array(z.looseObject({}))]),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  previous_response_id: z.string().nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }).nullish() }).nullish(),
  tools: z.array(z.looseObject({})).nullish(),
});

export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
type Fields = Readonly<Record<string, unknown>>;
type Message = ChatRequest['messages'][number];

/** Throws `KV_REQUEST_INVALID`. */
export function parseResponsesRequest(body: unknown): ResponsesRequest {
  return parseBody(responsesRequestSchema, body);
}

/**
 * The chat that engines make of a request of the Responses API; undefined where its input cannot be read as messages. What
 * an earlier response said is not known here, so of a request that goes on with one this is the last part alone.
 */
export function chatOfResponses(request: ResponsesRequest): ChatRequest | undefined {
  const { model, stream, cache_salt, nvext, seed, temperature, top_p, ignore_eos, min_tokens } = request;
  const messages = messagesOf(request);
  if (messages === undefined || messages.length === 0) return undefined;
  const kept = { model, stream, cache_salt, nvext, seed, temperature, top_p, ignore_eos, min_tokens };
  const tools = (request.tools ?? []).flatMap(chatTool);
  return {
    ...kept,
    messages,
    max_completion_tokens: request.max_output_tokens,
    reasoning_effort: request.reasoning?.effort,
    ...(tools.length > 0 && { tools, tool_choice: request.tool_choice }),
    ...(request.text?.format && { response_format: chatFormat(request.text.format) }),
  };
}

function messagesOf({ input, instructions }: ResponsesRequest): Message[] | undefined {
  const messages: Message[] = instructions ? [{ role: 'system', content: instructions }] : [];
  if (typeof input === 'string') return [...messages, { role: 'user', content: input }];
  for (const item of input) {
    const read = messageOf(item);
    if (read === undefined) return undefined;
    const last = messages.at(-1);
    // What an assistant thought, said and called are items here and one message there.
    if (read.role === 'assistant' && last?.role === 'assistant' && joins(last, read)) continue;
    messages.push(read);
  }
  return messages;
}

function messageOf(item: Fields): Message | undefined {
  const { type, role, content } = item;
  if (type === 'function_call') {
    const { call_id: id, name, arguments: given } = item;
    return {
      role: 'assistant',
      tool_calls: [{ id, type: 'function', function: { name, arguments: given } }],
    };
  }
  if (type === 'function_call_output')
    return { role: 'tool', content: item.output as Message['content'], tool_call_id: item.call_id };
  if (type === 'reasoning')
    return { role: 'assistant', reasoning: textOf(content) ?? textOf(item.summary) ?? '' };
  if (typeof role !== 'string') return undefined;
  if (role === 'assistant') return { role, content: typeof content === 'string' ? content : textOf(content) };
  return { ...item, role, content: content as Message['content'] };
}

/** Adds what the later one has to the earlier, where that lacks it. */
function joins(earlier: Record<string, unknown>, later: Fields): boolean {
  const calls = later.tool_calls as unknown[] | undefined;
  if (calls !== undefined) {
    earlier.tool_calls = [...((earlier.tool_calls as unknown[] | undefined) ?? []), ...calls];
    return true;
  }
  const field = later.reasoning === undefined ? 'content' : 'reasoning';
  if (earlier[field] != null) return false;
  earlier[field] = later[field];
  return true;
}

/** The first text of some parts. */
function textOf(parts: unknown): string | undefined {
  const text = Array.isArray(parts) ? (parts[0] as Fields | undefined)?.text : undefined;
  return typeof text === 'string' ? text : undefined;
}

/** Tools of the engine's own, such as a search, are none of a chat. */
function chatTool({ type, ...described }: Fields): object[] {
  return type === 'function' ? [{ type, function: described }] : [];
}

function chatFormat({ type, ...described }: Fields): object {
  return type === 'json_schema' ? { type, json_schema: described } : { type };
}
