import type { PlannedRequest } from './plan.ts';
import type { PromptWriter } from './prompt-words.ts';

/** How the prompt travels: ids or text to `/v1/completions`, or one user message to `/v1/chat/completions`. */
export type PromptForm = 'token-ids' | 'text' | 'chat';

export interface BodyOptions {
  readonly model: string;
  readonly form: PromptForm;
  /** Ask the engine to generate to the full length: without it lengths, and so latencies, are the model's whim. */
  readonly ignoreEos: boolean;
  /** Ask for token counts on every chunk. */
  readonly continuousUsage: boolean;
  /** Merged into the body last. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The JSON body of a request as bytes. */
export function requestBody(request: PlannedRequest, writer: PromptWriter, options: BodyOptions): Buffer {
  const { prompt, inputLength, outputLength } = request;
  const usage = { include_usage: true, ...(options.continuousUsage && { continuous_usage_stats: true }) };
  const fields = JSON.stringify({
    model: options.model,
    stream: true,
    stream_options: usage,
    max_tokens: outputLength,
    temperature: 0,
    ...(options.ignoreEos && { ignore_eos: true }),
    ...(request.priority !== undefined && { priority: request.priority }),
    ...options.extra,
  });
  const content =
    options.form === 'token-ids' && prompt.kind !== 'text'
      ? `"prompt":[${writer.ids(prompt, inputLength).join(',')}]`
      : options.form === 'chat'
        ? `"messages":[{"role":"user","content":${JSON.stringify(writer.text(prompt, inputLength))}}]`
        : `"prompt":${JSON.stringify(writer.text(prompt, inputLength))}`;
  return Buffer.from(`${fields.slice(0, -1)},${content}}`);
}
