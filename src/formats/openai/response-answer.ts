import { namedFrame } from '../sse/frame.ts';
import type { AnswerChoice, AnswerChunks, AnswerHead, ChunkExtras, FinishReason } from './answer.ts';
import type { ResponsesRequest } from './responses-request.ts';
import type { Usage } from './usage.ts';

type Status = 'in_progress' | 'completed' | 'incomplete';

/** The body of a response: one message, or one call of a function. */
export function responseBody(
  head: AnswerHead,
  request: ResponsesRequest,
  choice: AnswerChoice,
  usage: Usage,
): object {
  const status = statusOf(choice.finishReason);
  return responseObject(head, request, status, [outputItem(head, choice.text, choice, status)], usage);
}

/** The events of a streamed response. Each method gives whole frames, as one step may take several. */
export function responseChunks(head: AnswerHead, request: ResponsesRequest): AnswerChunks {
  let sequence = 0;
  let text = '';
  let status: Status = 'in_progress';
  let extras: ChunkExtras | undefined;
  const frame = (type: string, data: object): string =>
    namedFrame(`response.${type}`, { ...data, sequence_number: sequence++ });
  const place = { item_id: itemId(head), output_index: 0 };
  const part = { ...place, content_index: 0 };
  const begun = (more: ChunkExtras): string => {
    if (extras !== undefined) return '';
    extras = more;
    const item = outputItem(head, '', more, 'in_progress');
    const added = frame('output_item.added', {
      output_index: 0,
      item: more.call === undefined ? { ...item, content: [] } : item,
    });
    return more.call === undefined
      ? added + frame('content_part.added', { ...part, part: textPart('') })
      : added;
  };
  const said = (piece: string, more: ChunkExtras): string => {
    text += piece;
    if (piece === '') return '';
    return more.call === undefined
      ? frame('output_text.delta', { ...part, delta: piece, logprobs: [] })
      : frame('function_call_arguments.delta', { ...place, delta: piece });
  };
  const ended = ({ call }: ChunkExtras): string =>
    call === undefined
      ? frame('output_text.done', { ...part, text, logprobs: [] }) +
        frame('content_part.done', { ...part, part: textPart(text) })
      : frame('function_call_arguments.done', { ...place, name: call.name, arguments: text });
  const whole = (usage: Usage | undefined): object =>
    responseObject(
      head,
      request,
      status,
      extras === undefined ? [] : [outputItem(head, text, extras, status)],
      usage,
    );
  return {
    opening: () =>
      frame('created', { response: whole(undefined) }) + frame('in_progress', { response: whole(undefined) }),
    text: (_index, piece, _usage, more = {}) => begun(more) + said(piece, more),
    finish: (_index, piece, reason, _usage, _stop, more = {}) => {
      const last = begun(more) + said(piece, more);
      status = statusOf(reason);
      const item = outputItem(head, text, more, status);
      return last + ended(more) + frame('output_item.done', { output_index: 0, item });
    },
    usage: (usage) => frame(status === 'incomplete' ? 'incomplete' : 'completed', { response: whole(usage) }),
  };
}

function statusOf(reason: FinishReason): Status {
  return reason === 'length' ? 'incomplete' : 'completed';
}

function itemId({ id }: AnswerHead): string {
  return `item_${id.slice(id.indexOf('_') + 1)}`;
}

function textPart(text: string): object {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function outputItem(head: AnswerHead, text: string, { call }: ChunkExtras, status: Status): object {
  const id = itemId(head);
  if (call === undefined)
    return { id, type: 'message', role: 'assistant', status, content: [textPart(text)] };
  return { id, type: 'function_call', call_id: call.id, name: call.name, arguments: text, status };
}

function responseObject(
  { id, created, model }: AnswerHead,
  request: ResponsesRequest,
  status: Status,
  output: readonly object[],
  usage: Usage | undefined,
): object {
  return {
    id,
    object: 'response',
    created_at: created,
    status,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    model,
    output,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: request.reasoning ?? null,
    store: false,
    temperature: request.temperature ?? 1,
    text: request.text ?? { format: { type: 'text' } },
    tool_choice: request.tool_choice ?? 'auto',
    tools: request.tools ?? [],
    top_p: request.top_p ?? 1,
    truncation: 'disabled',
    usage: usage === undefined ? null : usageObject(usage),
  };
}

function usageObject({ promptTokens, completionTokens, cachedTokens }: Usage): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens ?? 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
