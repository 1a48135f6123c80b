import type { ChunkFacts } from './answer-chunk.ts';

/** What all chunks of one answer say of it. */
export interface ChunkHead {
  readonly id: unknown;
  readonly created: unknown;
  readonly model: unknown;
}

/** An answer as far as a client has it, to be gone on with by another engine. */
export interface BegunAnswer {
  readonly text: string;
  /** Generated tokens that the text is made of. */
  readonly tokens: number;
  /** These tokens, and those of the prompt, where the engine told them all. */
  readonly ids: readonly number[] | undefined;
  readonly promptIds: readonly number[] | undefined;
  readonly promptTokens: number | undefined;
  readonly head: ChunkHead | undefined;
}

/**
 * Follows the chunks of an answer of one choice. Text and tokens keep in step: an engine holds back half a letter, so
 * tokens count once there is text again.
 */
export class AnswerKeeper {
  #text: string | undefined = '';
  #tokens = 0;
  #ids: number[] | undefined = [];
  #heldIds: readonly number[] = [];
  #promptIds: readonly number[] | undefined;
  #promptTokens: number | undefined;
  #head: ChunkHead | undefined;

  /** What there is of it; undefined once there was something that is no plain text. */
  get begun(): BegunAnswer | undefined {
    if (this.#text === undefined) return undefined;
    return {
      text: this.#text,
      tokens: this.#tokens,
      ids: this.#ids?.length === this.#tokens ? this.#ids : undefined,
      promptIds: this.#promptIds,
      promptTokens: this.#promptTokens ?? this.#promptIds?.length,
      head: this.#head,
    };
  }

  /** The next chunk, and how many tokens there are by then. */
  add(json: string, { text, choices, tokenIds, usage }: ChunkFacts, tokens: number): void {
    this.#promptTokens ??= usage?.promptTokens;
    if (choices === 0) return;
    if (this.#head === undefined) this.#open(json);
    this.#text = text === undefined ? undefined : this.#text?.concat(text);
    this.#heldIds = [...this.#heldIds, ...(tokenIds ?? [])];
    if (text === '') return;
    this.#tokens = tokens;
    if (tokenIds === undefined) this.#ids = undefined;
    this.#ids?.push(...this.#heldIds);
    this.#heldIds = [];
  }

  #open(json: string): void {
    const { id, created, model, prompt_token_ids, choices } = JSON.parse(json);
    this.#head = { id, created, model };
    const ids: unknown = prompt_token_ids ?? choices[0]?.prompt_token_ids;
    this.#promptIds = Array.isArray(ids) ? ids : undefined;
  }
}
