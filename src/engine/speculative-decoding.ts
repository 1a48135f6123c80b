import { BurstSampler } from './burst-sampler.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { Sequence } from './sequence.ts';

/** Draft tokens: what they may need, and how many of them a pass keeps. */
export class SpeculativeDecoding {
  readonly #blockSize: number;
  readonly #maxBlocks: number;
  readonly #draftTokens: number;
  readonly #sampler: BurstSampler;

  constructor(
    settings: EngineSettings,
    speculative: NonNullable<EngineSettings['speculative']>,
    stream: number,
  ) {
    this.#blockSize = settings.blockSize;
    this.#maxBlocks = settings.numGpuBlocks;
    this.#draftTokens = speculative.draftTokens;
    this.#sampler = new BurstSampler(speculative, stream);
  }

  /** Blocks that cover every token the next pass may yield, as far as the pool could ever hold them. */
  blocksFor({ length, maxOutputTokens, generated }: Sequence): number {
    const tokens = length + Math.min(this.#draftTokens + 1, maxOutputTokens - generated);
    return Math.min(Math.ceil(tokens / this.#blockSize), this.#maxBlocks);
  }

  /** Tokens that a pass yields: one, and the accepted drafts that have room. */
  burst({ slots, length }: Sequence): number {
    const room = slots.length * this.#blockSize - length;
    return Math.min(this.#sampler.next(), Math.max(1, room));
  }
}
