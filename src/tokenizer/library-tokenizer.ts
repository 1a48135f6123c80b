import { Tokenizer as LibraryModel } from '@huggingface/tokenizers';
import { fail, toError } from '../base/errors.ts';
import { ChatTemplate, specialTokens, templateSource } from './chat-template.ts';
import { SegmentCache } from './segment-cache.ts';
import {
  type ChatMessage,
  type ChatRenderOptions,
  messageText,
  type Tokenizer,
  type TokenStream,
} from './tokenizer.ts';
import { mergingByWords } from './word-merging.ts';

/** The files of a model that make its tokenizer, parsed. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: object;
  /** `tokenizer_config.json`; without it there is no chat template and no named special token. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** `chat_template.jinja`, which newer models have instead of a field of the config. */
  readonly chatTemplate?: string | undefined;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** No character has more tokens than this; what is longer without text is special tokens or broken bytes. */
const MAX_UNDECIDED = 8;

/** A tokenizer as models publish it: 0.1 to 1 million tokens a second, the more the more words it has met. It does not yield. */
export class LibraryTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosIds: readonly number[];
  readonly #model: LibraryModel;
  readonly #template: ChatTemplate | undefined;
  readonly #segments: SegmentCache;

  constructor({ tokenizer, config = {}, chatTemplate }: TokenizerFiles) {
    try {
      this.#model = new LibraryModel(mergingByWords(tokenizer), config);
    } catch (cause) {
      throw fail('KV_TOKENIZER_UNUSABLE', { reason: toError(cause).message }, cause);
    }
    const named = specialTokens(config);
    const source = chatTemplate ?? templateSource(config);
    this.#template = source === undefined ? undefined : new ChatTemplate(source, named);
    let highest = -1;
    for (const id of this.#model.get_vocab(true).values()) highest = Math.max(highest, id);
    this.vocabSize = highest + 1;
    this.bosId = this.#idOf(named.bos_token);
    const eos = this.#idOf(named.eos_token);
    this.eosIds = eos === undefined ? [] : [eos];
    const encode = (text: string): number[] => this.#model.encode(text, { add_special_tokens: false }).ids;
    this.#segments = new SegmentCache(addedTokens(tokenizer), encode);
  }

  encode(text: string): Uint32Array {
    return Uint32Array.from(this.#model.encode(text).ids);
  }

  encodeChat(messages: readonly ChatMessage[], options?: ChatRenderOptions): Uint32Array {
    return this.encodeRendered(this.renderChat(messages, options));
  }

  /** Ids of a text that has its special tokens already, as a rendered chat does; turns seen before are not redone. */
  encodeRendered(text: string): Uint32Array {
    return this.#segments.encode(text);
  }

  renderChat(messages: readonly ChatMessage[], options?: ChatRenderOptions): string {
    if (this.#template !== undefined) return renderWith(this.#template, messages, options);
    const mend =
      'Use /v1/completions, or put tokenizer_config.json with a chat_template beside tokenizer.json.';
    throw fail('KV_REQUEST_INVALID', { param: 'messages', reason: 'the model has no chat template', mend });
  }

  decode(ids: ArrayLike<number>): string {
    if (ids.length === 0) return '';
    return this.#model.decode(Array.from(ids), {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    });
  }

  decodeStream(): TokenStream {
    return new WindowStream((ids) => this.decode(ids));
  }

  #idOf(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#model.token_to_id(token);
  }
}

/**
 * Decodes ids one by one where a token's text depends on its neighbours (leading spaces, split characters): a
 * short window is decoded with and without the new id, and what the new one adds is certain unless it ends in
 * an unfinished character.
 */
class WindowStream implements TokenStream {
  readonly #decode: (ids: readonly number[]) => string;
  #window: number[] = [];
  /** Ids of the window whose text was given out. */
  #given = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#window.push(id);
    const text = this.#fresh();
    const undecided = text === '' || text.endsWith('\ufffd');
    if (undecided && this.#window.length - this.#given < MAX_UNDECIDED) return '';
    this.#advance();
    return text;
  }

  flush(): string {
    const text = this.#fresh();
    this.#window = [];
    this.#given = 0;
    return text;
  }

  #fresh(): string {
    const before = this.#decode(this.#window.slice(0, this.#given));
    return this.#decode(this.#window).slice(before.length);
  }

  /** Keeps the ids given out last as context for the next. */
  #advance(): void {
    this.#window = this.#window.slice(this.#given);
    this.#given = this.#window.length;
  }
}

/** A template closes every turn: to leave the last one open, what comes after its text is cut off. */
function renderWith(
  template: ChatTemplate,
  given: readonly ChatMessage[],
  options: ChatRenderOptions = {},
): string {
  const messages = template.view(given, options);
  const last = messages.at(-1);
  if (options.continueFinalMessage !== true || last === undefined) return template.render(messages, options);
  const text = template.render(messages, { ...options, addGenerationPrompt: false });
  const content = messageText(last).trim();
  const at = text.lastIndexOf(content);
  return at === -1 ? text : text.slice(0, at + content.length);
}

function addedTokens(tokenizer: object): readonly AddedToken[] {
  const { added_tokens: added } = tokenizer as { added_tokens?: unknown };
  return Array.isArray(added) ? (added as AddedToken[]) : [];
}
