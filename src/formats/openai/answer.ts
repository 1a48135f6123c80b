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
  text(index: number, text: string, usage?: Usage, more?: ChunkExtras): string;
  /** The last chunk of a choice, with the last piece of text, and the stop string if one ended it. */
  finish(
    index: number,
    text: string,
    reason: FinishReason,
    usage?: Usage,
    stop?: string,
    more?: ChunkExtras,
  ): string;
  /** The chunk after all choices that reports the whole answer's usage. */
  usage(usage: Usage): string;
}

/** What a piece of text may come with. */
export interface ChunkExtras {
  /** The call that the text is arguments of; its id and name go into the first piece alone. */
  readonly call?: ToolCallHead | undefined;
  readonly isFirst?: boolean | undefined;
  readonly logprobs?: object | undefined;
}

export interface ToolCallHead {
  readonly id: string;
  readonly name: string;
}

export function answerChunks(kind: AnswerKind, head: AnswerHead): AnswerChunks {
  const object = kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  const start = `${JSON.stringify({ id: head.id, object, created: head.created, model: head.model }).slice(0, -1)},"choices":[`;
  const end = (usage: Usage | undefined): string =>
    usage === undefined ? ']}' : `],"usage":${JSON.stringify(usageBody(usage))}}`;
  const choice = (index: number, text: string, reason: string, more: ChunkExtras): string => {
    const odds = more.logprobs === undefined ? 'null' : JSON.stringify(more.logprobs);
    return kind === 'chat'
      ? `{"index":${index},"delta":${deltaOf(text, more)},"logprobs":${odds},"finish_reason":${reason},"token_ids":null}`
      : `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${odds},"finish_reason":${reason},"prompt_token_ids":null,"token_ids":null}`;
  };
  const settled = kind === 'chat' ? 'null' : 'null,"stop_reason":null';
  return {
    opening: (index, usage) =>
      kind === 'chat'
        ? `${start}{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null,"prompt_text":null${usage === undefined ? '}' : end(usage).slice(1)}`
        : '',
    text: (index, text, usage, more = {}) => start + choice(index, text, settled, more) + end(usage),
    finish: (index, text, reason, usage, stop, more = {}) => {
      const told = `"${reasonOf(reason, more.call)}","stop_reason":${JSON.stringify(stop ?? null)}`;
      return start + choice(index, text, told, more) + end(usage);
    },
    usage: (usage) => start + end(usage),
  };
}

function deltaOf(text: string, { call, isFirst }: ChunkExtras): string {
  if (call === undefined) return `{"content":${JSON.stringify(text)}}`;
  const head = isFirst === true ? { id: call.id, type: 'function' } : {};
  const named = isFirst === true ? { name: call.name } : {};
  return JSON.stringify({ tool_calls: [{ index: 0, ...head, function: { ...named, arguments: text } }] });
}

/** An answer that ends with a call says so, unless it was cut off. */
function reasonOf(reason: FinishReason, call: ToolCallHead | undefined): FinishReason {
  return call !== undefined && reason === 'stop' ? 'tool_calls' : reason;
}

/** One finished choice. */
export interface AnswerChoice extends Omit<ChunkExtras, 'isFirst'> {
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
    choices: choices.map(({ text, finishReason, stop, call, logprobs = null }, index) => ({
      index,
      ...(kind === 'chat' ? { message: messageOf(text, call) } : { text }),
      logprobs,
      finish_reason: reasonOf(finishReason, call),
      stop_reason: stop ?? null,
    })),
    usage: usageBody(usage),
    ...extra,
  };
}

function messageOf(text: string, call: ToolCallHead | undefined): object {
  if (call === undefined) return { role: 'assistant', content: text };
  const { id, name } = call;
  const calls = [{ id, type: 'function', function: { name, arguments: text } }];
  return { role: 'assistant', content: null, tool_calls: calls };
}
