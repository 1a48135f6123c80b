import { Template } from '@huggingface/jinja';
import { fail, toError } from '../base/errors.ts';
import { type TemplateTraits, viewOfMessages, viewOfTools } from './chat-view.ts';
import { takesContentParts } from './template-content.ts';
import type { ChatDialect, ChatMessage, ChatRenderOptions } from './tokenizer.ts';

/** A model's chat template, parsed once (tens of milliseconds) and rendered often (below one). */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;
  readonly #traits: Readonly<Record<ChatDialect, TemplateTraits>>;

  /** `tokens` are the special tokens by the names that templates use (`bos_token`, `eos_token`, ...). */
  constructor(source: string, tokens: Readonly<Record<string, string>>) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      const reason = `the chat template cannot be parsed: ${toError(cause).message}`;
      throw fail('KV_TOKENIZER_UNUSABLE', { reason }, cause);
    }
    this.#tokens = tokens;
    const { parsed } = this.#template;
    const developer = /["']developer["']/.test(source);
    const traitsIn = (dialect: ChatDialect) => ({
      parts: takesContentParts(parsed, source, dialect),
      developer,
    });
    this.#traits = { vllm: traitsIn('vllm'), sglang: traitsIn('sglang') };
  }

  /** Messages as the engine's server hands them to the template. */
  view(messages: readonly ChatMessage[], { dialect = 'vllm' }: ChatRenderOptions = {}): ChatMessage[] {
    return viewOfMessages(messages, this.#traits[dialect], dialect);
  }

  /** Renders messages as {@link view} gives them. Throws `KV_REQUEST_INVALID` when the template refuses them. */
  render(messages: readonly ChatMessage[], options: ChatRenderOptions = {}): string {
    const { dialect = 'vllm', tools, reasoningEffort } = options;
    const variables = {
      ...this.#tokens,
      ...(reasoningEffort !== undefined && {
        reasoning_effort: reasoningEffort,
        ...(dialect === 'vllm' && { enable_thinking: reasoningEffort !== 'none' }),
      }),
      ...options.variables,
      messages,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      ...(tools !== undefined && { tools: viewOfTools(tools, dialect) }),
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
