import { LibraryTokenizer, type TokenizerFiles } from '../tokenizer/library-tokenizer.ts';
import type { ChatMessage, ChatRenderOptions } from '../tokenizer/tokenizer.ts';
import { TokenizerThread } from '../transport/tokenizer-thread.ts';
import type { PromptEncoder } from './prompt.ts';

/** About a thousand tokens, five milliseconds: longer prompts are encoded beside the event loop. */
const INLINE_CHARS = 4096;

/** A model's own tokenizer; short prompts are encoded at once, long ones in a thread. */
export class LibraryEncoder implements PromptEncoder {
  readonly exact = true;
  readonly #tokenizer: LibraryTokenizer;
  readonly #thread: TokenizerThread;

  constructor(files: TokenizerFiles) {
    this.#tokenizer = new LibraryTokenizer(files);
    this.#thread = new TokenizerThread(files);
  }

  encode(text: string): Uint32Array | Promise<Uint32Array> {
    return text.length > INLINE_CHARS ? this.#thread.encode(text, false) : this.#tokenizer.encode(text);
  }

  encodeMore(text: string): Uint32Array {
    return this.#tokenizer.encodeRendered(text);
  }

  encodeChat(
    messages: readonly ChatMessage[],
    options: ChatRenderOptions,
  ): Uint32Array | Promise<Uint32Array> {
    const text = this.#tokenizer.renderChat(messages, options);
    return text.length > INLINE_CHARS
      ? this.#thread.encode(text, true)
      : this.#tokenizer.encodeRendered(text);
  }

  stop(): Promise<void> {
    return this.#thread.stop();
  }
}
