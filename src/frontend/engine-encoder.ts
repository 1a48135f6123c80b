import { fail } from '../base/errors.ts';
import type { ChatMessage, ChatRenderOptions } from '../tokenizer/tokenizer.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { HttpClient } from '../transport/http-client.ts';
import type { PromptEncoder } from './prompt.ts';

const TIMEOUT_MS = 10_000;

/** Asks the engines for the tokens (`POST /tokenize` of vLLM): a hop more, but no tokenizer has to be at hand. */
export class EngineEncoder implements PromptEncoder {
  readonly exact = true;
  readonly #client: HttpClient;
  readonly #model: string;
  readonly #engines: () => readonly WorkerInstance[];
  #turn = 0;

  constructor(client: HttpClient, model: string, engines: () => readonly WorkerInstance[]) {
    this.#client = client;
    this.#model = model;
    this.#engines = engines;
  }

  encode(text: string): Promise<Uint32Array> {
    return this.#ask({ prompt: text });
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatRenderOptions): Promise<Uint32Array> {
    const { reasoningEffort: effort } = options;
    // `/tokenize` knows no effort, but hands the template whatever else it is given.
    const variables =
      effort === undefined
        ? options.variables
        : { reasoning_effort: effort, enable_thinking: effort !== 'none', ...options.variables };
    return this.#ask({
      messages,
      add_generation_prompt: (options.addGenerationPrompt ?? true) && options.continueFinalMessage !== true,
      ...(options.continueFinalMessage === true && { continue_final_message: true }),
      ...(options.tools !== undefined && { tools: options.tools }),
      ...(variables !== undefined && { chat_template_kwargs: variables }),
    });
  }

  async #ask(prompt: object): Promise<Uint32Array> {
    const engines = this.#engines();
    const engine = engines[this.#turn++ % Math.max(1, engines.length)];
    if (engine === undefined) throw fail('KV_NO_WORKERS', { model: this.#model, reason: 'none is ready' });
    const url = `${engine.url}/tokenize`;
    const body = { model: this.#model, ...prompt };
    const answer = await this.#client.json(url, { method: 'POST', body, timeoutMs: TIMEOUT_MS });
    const tokens = (answer.body as { tokens?: unknown } | undefined)?.tokens;
    if (answer.status === 200 && Array.isArray(tokens)) return Uint32Array.from(tokens as number[]);
    if (answer.status === 400)
      throw fail('KV_REQUEST_INVALID', { reason: `${url} refused the prompt`, mend: '' });
    throw fail('KV_ENGINE_UNREACHABLE', { url, reason: `it answered ${answer.status}` });
  }
}
