import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EngineEncoder } from '../frontend/engine-encoder.ts';
import { LibraryEncoder } from '../frontend/library-encoder.ts';
import type { PromptEncoder } from '../frontend/prompt.ts';
import { ByteTokenizer } from '../tokenizer/byte-tokenizer.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { readTokenizerFiles } from '../transport/tokenizer-files.ts';

/** The name of the tokenizer of simulated engines, in place of a path. */
const BYTE = 'byte';

/** Tokenizers by where they come from, each loaded once. Owns their threads. */
export class PromptEncoders {
  readonly #client: HttpClient;
  readonly #log: Log;
  readonly #fallback: string | undefined;
  readonly #loaded = new Map<string, Promise<LibraryEncoder>>();

  /** `fallback` is the path, or `byte`, for engines that name no tokenizer. */
  constructor(client: HttpClient, log: Log, fallback: string | undefined) {
    this.#client = client;
    this.#log = log;
    this.#fallback = fallback;
  }

  /** Loads the given fallback, so that a wrong path is told at the start. */
  async start(): Promise<void> {
    if (this.#fallback !== undefined && this.#fallback !== BYTE) await this.#load(this.#fallback);
  }

  /** Whether prompts for the engine will, as far as can be told now, have the tokens that its KV events have. */
  isExactFor({ tokenizer, kind }: WorkerInstance): boolean {
    return (tokenizer ?? this.#fallback) !== undefined || kind === 'vllm';
  }

  /** What turns prompts into the tokens of this engine, or else into something that tells prompts apart. */
  async encoderFor(
    instance: WorkerInstance,
    engines: () => readonly WorkerInstance[],
  ): Promise<PromptEncoder> {
    const source = instance.tokenizer ?? this.#fallback;
    if (source === BYTE) return byteEncoder(true);
    if (source !== undefined) {
      const encoder = await this.#load(source);
      return instance.kind === 'sglang' ? asSglang(encoder) : encoder;
    }
    const { url, kind, models } = instance;
    const remote = new EngineEncoder(this.#client, models[0] ?? '', engines);
    try {
      // llama.cpp's answers any question but its own with no token at all.
      if ((await remote.encode('x')).length === 0)
        throw fail('KV_ENGINE_UNREACHABLE', {
          url: `${url}/tokenize`,
          reason: 'it gave no token for a text',
        });
      this.#log.info({ url, kind }, 'no tokenizer is given: prompts are tokenised by the engines');
      return (await this.#takesChats(remote, instance)) ? remote : withoutChats(remote);
    } catch (thrown) {
      const facts = { url, kind, reason: toError(thrown).message };
      this.#log.warn(
        facts,
        'no tokenizer is given, and the engine has no /tokenize: what it has cached is guessed from earlier decisions',
      );
      return byteEncoder(false);
    }
  }

  /** SGLang up to 0.5.9 tokenises texts only, and a model may have no template for chats. */
  async #takesChats(remote: EngineEncoder, { url, kind }: WorkerInstance): Promise<boolean> {
    try {
      await remote.encodeChat([{ role: 'user', content: 'x' }], {});
      return true;
    } catch (thrown) {
      this.#log.warn(
        { url, kind, reason: toError(thrown).message },
        'the engine tokenises no chats: what it has cached of them is guessed; --tokenizer PATH mends that',
      );
      return false;
    }
  }

  async stop(): Promise<void> {
    const encoders = await Promise.allSettled(this.#loaded.values());
    await Promise.all(encoders.map((each) => (each.status === 'fulfilled' ? each.value.stop() : undefined)));
  }

  #load(path: string): Promise<LibraryEncoder> {
    let loading = this.#loaded.get(path);
    if (loading === undefined) {
      loading = readTokenizerFiles(path).then((files) => new LibraryEncoder(files));
      this.#loaded.set(path, loading);
    }
    return loading;
  }
}

/** Chats as SGLang renders them. */
function asSglang(encoder: PromptEncoder): PromptEncoder {
  return {
    exact: encoder.exact,
    encode: (text) => encoder.encode(text),
    ...(encoder.encodeMore && { encodeMore: encoder.encodeMore.bind(encoder) }),
    encodeChat: (messages, options) => encoder.encodeChat(messages, { ...options, dialect: 'sglang' }),
  };
}

/** Texts are the engine's tokens; chats are only told apart. */
function withoutChats(remote: EngineEncoder): PromptEncoder {
  const bytes = byteEncoder(false);
  return {
    exact: false,
    encode: (text) => remote.encode(text),
    encodeChat: (messages, options) => bytes.encodeChat(messages, options),
  };
}

function byteEncoder(exact: boolean): PromptEncoder {
  const tokenizer = new ByteTokenizer();
  return {
    exact,
    encode: (text) => tokenizer.encode(text),
    encodeMore: (text) => tokenizer.encode(text),
    encodeChat: (messages, options) => tokenizer.encodeChat(messages, options),
  };
}
