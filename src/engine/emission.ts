import type { EngineSettings } from './engine-settings.ts';
import type { KvCache } from './kv-cache.ts';
import { endOutput, type Output } from './pass.ts';
import type { Sequence } from './sequence.ts';
import type { SpeculativeDecoding } from './speculative-decoding.ts';

/** What requests receive at the end of vLLM's passes. */
export class Emission {
  readonly #maxModelLen: number;
  readonly #cache: KvCache;
  readonly #drafts: SpeculativeDecoding | undefined;
  readonly #outputs: Output[];

  constructor(
    { maxModelLen }: EngineSettings,
    cache: KvCache,
    drafts: SpeculativeDecoding | undefined,
    outputs: Output[],
  ) {
    this.#maxModelLen = maxModelLen ?? Number.POSITIVE_INFINITY;
    this.#cache = cache;
    this.#drafts = drafts;
    this.#outputs = outputs;
  }

  /** Gives the token or burst of a request whose tokens are all computed; true if that completes it. */
  give(sequence: Sequence): boolean {
    const remaining = sequence.maxOutputTokens - sequence.generated;
    const fits = this.#maxModelLen - sequence.length;
    const count = Math.min(remaining, fits, remaining === 0 ? 0 : (this.#drafts?.burst(sequence) ?? 1));
    const first = sequence.generated;
    sequence.generated += count;
    if (count > 1) {
      sequence.computed = sequence.length - 1;
      this.#cache.publish(sequence);
    }
    const completed = count === remaining || count === fits;
    if (completed) sequence.state = 'finished';
    const cachedTokens = sequence.outputsGiven++ === 0 ? sequence.cachedTokens : undefined;
    this.#outputs.push({ sequence, first, count, completed, rejected: false, cachedTokens });
    return completed;
  }

  /** Ends a waiting request: a fresh one is rejected, one that outgrew the pool keeps the answer it has. */
  end(sequence: Sequence): void {
    const rejected = sequence.state === 'waiting';
    sequence.state = 'finished';
    this.#outputs.push(endOutput(sequence, rejected));
  }
}
