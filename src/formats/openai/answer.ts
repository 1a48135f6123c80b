import { type Usage, type UsageBody, usageBody } from './usage.ts';

export type AnswerKind = 'chat' | 'completion';
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'abort';

/** What all chunks of one answer share. */
export interface AnswerHead {
  /** With its prefix, `chatcmpl-` or `cmpl-`. */
  readonly id: string;
  /** Seconds since the Unix epoch. */
  readonly created: number;
  readonly model: string;
}

/**
 * Serialises the chunks of one streamed answer as vLLM does, byte for byte. Each method gives the JSON of one
 * event; {@link sseFrame} makes the frame of it. `usage` is given for continuous usage statistics.
 */
export interface AnswerChunks {
  /** The first chunk of each choice of a chat; completions have none, so it is empty there. */
  opening(index: number, usage?: Usage): string;
  text(index: number, text: string, usage?: Usage): string;
  /** The last chunk of a choice, with the last piece of text, and the stop string if one ended it. */
  finish(index: number, text: string, reason: FinishReason, usage?: Usage, stop?: string): string;
  /** The chunk after all choices that reports the whole answer's usage. */
  usage(usage: Usage): string;
}

export function answerChunks(kind: AnswerKind, head: AnswerHead): AnswerChunks {
  const object = kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  const start = `${JSON.stringify({ id: head.id, object, created: head.created, model: head.model }).slice(0, -1)},"choices":[`;
  const end = (usage: Usage | undefined): string =>
    usage === undefined ? ']}' : `],"usage":${JSON.stringify(usageBody(usage))}}`;
  const choice = (index: number, text: string, reason: string): string =>
    kind === 'chat'
      ? `{"index":${index},"delta":{"content":${JSON.stringify(text)}},"logprobs":null,"finish_reason":${reason},"token_ids":null}`
      : `{"index":${index},"text":${JSON.stringify(text)},"logprobs":null,"finish_reason":${reason},"prompt_token_ids":null,"token_ids":null}`;
  const settled = kind === 'chat' ? 'null' : 'null,"stop_reason":null';
  return {
    opening: (index, usage) =>
      kind === 'chat'
        ? `${start}{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null,"prompt_text":null${usage === undefined ? '}' : end(usage).slice(1)}`
        : '',
    text: (index, text, usage) => start + choice(index, text, settled) + end(usage),
    finish: (index, text, reason, usage, stop) =>
      start + choice(index, text, `"${reason}","stop_reason":${JSON.stringify(stop ?? null)}`) + end(usage),
    usage: (usage) => start + end(usage),
  };
}

/** One finished choice. */
export interface AnswerChoice {
  readonly text: string;
  readonly finishReason: FinishReason;
  /** The stop string that ended it. */
  readonly stop?: string | undefined;
}

/** The body of an answer that is not streamed. */
export function answerBody(
  kind: AnswerKind,
  head: AnswerHead,
  choices: readonly AnswerChoice[],
  usage: Usage,
  extra: Readonly<Record<string, unknown>> = {},
): { readonly usage: UsageBody; readonly [field: string]: unknown } {
  return {
    id: head.id,
    object: kind === 'chat' ? 'chat.completion' : 'text_completion',
    created: head.created,
    model: head.model,
    choices: choices.map(({ text, finishReason, stop }, index) => ({
      index,
      ...(kind === 'chat' ? { message: { role: 'assistant', content: text } } : { text }),
      logprobs: null,
      finish_reason: finishReason,
      stop_reason: stop ?? null,
    })),
    usage: usageBody(usage),
    ...extra,
  };
}
