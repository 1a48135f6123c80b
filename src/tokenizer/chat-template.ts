import { Template } from '@huggingface/jinja';
import { fail, toError } from '../base/errors.ts';
import type { ChatMessage, ChatRenderOptions } from './tokenizer.ts';

/** A model's chat template, parsed once (tens of milliseconds) and rendered often (below one). */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;

  /** `tokens` are the special tokens by the names that templates use (`bos_token`, `eos_token`, ...). */
  constructor(source: string, tokens: Readonly<Record<string, string>>) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      const reason = `the chat template cannot be parsed: ${toError(cause).message}`;
      throw fail('KV_TOKENIZER_UNUSABLE', { reason }, cause);
    }
    this.#tokens = tokens;
  }

  /** Throws `KV_REQUEST_INVALID` when the template refuses the messages. */
  render(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): string {
    const variables = {
      ...this.#tokens,
      ...options.variables,
      messages,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      ...(options.tools !== undefined && { tools: options.tools }),
    };
    try {
      return this.#template.render(variables);
    } catch (cause) {
      const reason = `messages: the chat template refuses them: ${toError(cause).message}`;
      const mend = 'Check roles, their order and the kinds of content.';
      throw fail('KV_REQUEST_INVALID', { param: 'messages', reason, mend }, cause);
    }
  }
}

/** The default template of a `tokenizer_config.json`: a text, or the one named `default` of a list. */
export function templateSource(config: Readonly<Record<string, unknown>>): string | undefined {
  const { chat_template: given } = config;
  if (typeof given === 'string') return given;
  if (!Array.isArray(given)) return undefined;
  const named = given as { readonly name?: unknown; readonly template?: unknown }[];
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}

/** Special tokens of a `tokenizer_config.json`, each a text or an object with `content`. */
export function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const content =
      typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof content === 'string') tokens[name] = content;
  }
  return tokens;
}
