import type { EngineSettings } from './engine-settings.ts';

/** What one prefill batch of SGLang may take yet, in tokens; prompts are charged by whole pages. */
export class PrefillBudget {
  readonly #pageSize: number;
  readonly #chunkSize: number;
  #memory: number;
  #input: number;
  #chunk: number;

  constructor({ blockSize, sglang }: EngineSettings, memory: number) {
    this.#pageSize = blockSize;
    this.#chunkSize = sglang.chunkedPrefillSize;
    this.#memory = memory;
    this.#input = sglang.maxPrefillTokens;
    this.#chunk = sglang.chunkedPrefillSize;
  }

  /**
   * Takes the rest of a prompt, or the part of it that a chunk may have; a whole one needs `reserve` tokens for its
   * answer too. Undefined, and nothing taken, if it has to wait.
   */
  take(rest: number, reserve: number): { readonly tokens: number; readonly whole: boolean } | undefined {
    const whole = rest <= this.#chunkSize;
    const tokens = whole ? rest : this.#chunk - (this.#chunk % this.#pageSize);
    if (tokens === 0 && !whole) return undefined;
    const charge = Math.ceil(tokens / this.#pageSize) * this.#pageSize;
    const memory = charge + (whole ? reserve : 0);
    if (memory >= this.#memory || charge > this.#input || charge > this.#chunk) return undefined;
    this.#memory -= memory;
    this.#input -= charge;
    this.#chunk -= charge;
    return { tokens, whole };
  }
}
