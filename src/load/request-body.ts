import type { PlannedRequest } from './plan.ts';
import type { PromptWriter } from './prompt-words.ts';

/** How the prompt travels: ids or text to `/v1/completions`, or one user message to `/v1/chat/completions`. */
export type PromptForm = 'token-ids' | 'text' | 'chat';

export interface BodyOptions {
  readonly model: string;
  readonly form: PromptForm;
  /** Ask the engine to generate to the full length: without it lengths, and so latencies, are the model's whim. */
  readonly ignoreEos: boolean;
  /** Ask for no fewer tokens than that either, for engines that stop at other words than the end of text. */
  readonly minTokens?: boolean;
  /** Ask for token counts on every chunk. */
  readonly continuousUsage: boolean;
  /** Merged into the body last. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The JSON body of a request as bytes. */
export function requestBody(request: PlannedRequest, writer: PromptWriter, options: BodyOptions): Buffer {
  const usage = { include_usage: true, ...(options.continuousUsage && { continuous_usage_stats: true }) };
  const fields = JSON.stringify({
    model: options.model,
    stream: true,
    stream_options: usage,
    max_tokens: request.outputLength,
    temperature: 0,
    ...(options.ignoreEos && { ignore_eos: true }),
    ...(options.minTokens === true && { min_tokens: request.outputLength }),
    ...(request.priority !== undefined && { priority: request.priority }),
    ...options.extra,
  });
  const [open, content, close] = promptParts(request, writer, options.form);
  return Buffer.concat([Buffer.from(`${fields.slice(0, -1)},${open}`), content, Buffer.from(`${close}}`)]);
}

/** What stands before, in and after the prompt. */
function promptParts(
  { prompt, inputLength }: PlannedRequest,
  writer: PromptWriter,
  form: PromptForm,
): readonly [string, Buffer, string] {
  if (form === 'token-ids' && prompt.kind !== 'text')
    return ['"prompt":[', writer.ids(prompt, inputLength), ']'];
  const text = writer.text(prompt, inputLength);
  return form === 'chat'
    ? ['"messages":[{"role":"user","content":"', text, '"}]']
    : ['"prompt":"', text, '"'];
}
