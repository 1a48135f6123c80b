/** One turn of a chat as clients send it; fields unknown here reach the chat template untouched. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly ChatPart[] | null;
  readonly [field: string]: unknown;
}

/** A piece of a message; only `text` parts have text, others (images, audio) count as nothing here. */
export interface ChatPart {
  readonly type: string;
  readonly text?: string;
  readonly [field: string]: unknown;
}

/** Whose server prepares messages for the chat template; each does it in its own way. */
export type ChatDialect = 'vllm' | 'sglang';

export interface ChatRenderOptions {
  /** vLLM's unless given. */
  readonly dialect?: ChatDialect;
  /** Opens the assistant's turn, so that the model continues with its answer. True unless given. */
  readonly addGenerationPrompt?: boolean;
  /** Leaves the last message open, so that the model goes on with it; then no turn is opened. */
  readonly continueFinalMessage?: boolean;
  readonly tools?: readonly unknown[];
  /** Further variables of the template (`chat_template_kwargs`). */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** How much a model that reasons is to do so; templates read it. */
  readonly reasoningEffort?: string;
}

/** Turns text into the token ids that an engine would see, and back. Stateless but for caches. */
export interface Tokenizer {
  /** One more than the highest token id. */
  readonly vocabSize: number;
  /** Put before a plain prompt by {@link encode}, where the model has one. */
  readonly bosId: number | undefined;
  /** Ids that end an answer. */
  readonly eosIds: readonly number[];
  /** Ids of a plain prompt, as `/v1/completions` sends it: with the model's leading special tokens. */
  encode(text: string): Uint32Array;
  /** Ids of a rendered chat. */
  encodeChat(messages: readonly ChatMessage[], options?: ChatRenderOptions): Uint32Array;
  /** The text that {@link encodeChat} encodes, for people and for engines that take text. */
  renderChat(messages: readonly ChatMessage[], options?: ChatRenderOptions): string;
  /** Text of the ids; special tokens give nothing. */
  decode(ids: ArrayLike<number>): string;
  /** Decodes ids that arrive one after another, never emitting half a character. */
  decodeStream(): TokenStream;
}

export interface TokenStream {
  /** Text that became certain with this id; empty while a character is incomplete. */
  push(id: number): string;
  /** What is left at the end, incomplete characters as U+FFFD. */
  flush(): string;
}

/** The text of a message: parts joined, what is not text left out. */
export function messageText(message: ChatMessage): string {
  if (typeof message.content === 'string') return message.content;
  if (!Array.isArray(message.content)) return '';
  return (message.content as readonly ChatPart[]).map(textOfPart).join('');
}

/** A part's text, which parts of other types than `text` have under their own names. */
export function textOfPart(part: ChatPart): string {
  const text = part.text ?? part[part.type];
  return typeof text === 'string' ? text : '';
}
