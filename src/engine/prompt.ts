import type { BlockHasher, PromptHashes, PromptNamespace } from '../kv/hash.ts';

/**
 * What an engine needs to know of a prompt. A prompt made from a trace holds no tokens: it regenerates them
 * when it is hashed and when an event must name them.
 */
export interface Prompt {
  /** In tokens. */
  readonly length: number;
  readonly namespace: PromptNamespace | undefined;
  /** Local and chained hashes of the full blocks; made at the first call, all calls use one block size. */
  hashes(hasher: BlockHasher, blockSize: number): PromptHashes;
  /** Tokens of positions `start` to `end` (excluded), in an array that the caller may keep but not change. */
  tokens(start: number, end: number): Uint32Array;
}

/** A prompt whose tokens are at hand; keeps the array. */
export class TokenPrompt implements Prompt {
  readonly #tokens: Uint32Array;
  readonly namespace: PromptNamespace | undefined;
  #hashes: PromptHashes | undefined;

  constructor(tokens: Uint32Array, namespace?: PromptNamespace) {
    this.#tokens = tokens;
    this.namespace = namespace;
  }

  get length(): number {
    return this.#tokens.length;
  }

  hashes(hasher: BlockHasher, blockSize: number): PromptHashes {
    this.#hashes ??= hasher.hashPrompt(this.#tokens, blockSize, this.namespace);
    return this.#hashes;
  }

  tokens(start: number, end: number): Uint32Array {
    return this.#tokens.subarray(start, end);
  }
}

/** Writes the tokens of positions `start` to `start + into.length` of a prompt. */
export type TokenWriter = (into: Uint32Array, start: number) => void;

/** A prompt that is described, not held: only its hashes stay in memory, and those only while it is in use. */
export class GeneratedPrompt implements Prompt {
  readonly length: number;
  readonly namespace = undefined;
  readonly #write: TokenWriter;
  #hashes: PromptHashes | undefined;

  constructor(length: number, write: TokenWriter) {
    this.length = length;
    this.#write = write;
  }

  hashes(hasher: BlockHasher, blockSize: number): PromptHashes {
    this.#hashes ??= hasher.hashPrompt(this.tokens(0, this.length), blockSize);
    return this.#hashes;
  }

  tokens(start: number, end: number): Uint32Array {
    const tokens = new Uint32Array(end - start);
    this.#write(tokens, start);
    return tokens;
  }
}

/** A request as the engine core takes it. */
export interface EngineRequest {
  readonly id: string;
  readonly prompt: Prompt;
  /** Most tokens to generate; `plannedTokens` overrides it with its length. */
  readonly maxOutputTokens: number;
  /** The answer to give, where it is decided beforehand. */
  readonly plannedTokens?: Uint32Array | undefined;
}
