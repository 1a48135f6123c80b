import { mix32 } from '../../base/random.ts';
import { byTime, type Trace } from '../input/event.ts';
import { BlockChains } from './block-chains.ts';
import { Column } from './column.ts';
import { StackDistances } from './stack-distances.ts';

/** Prompt tokens that a prefix cache of a size would have served. */
interface CacheSaving {
  /** Undefined: a cache that never evicts. */
  readonly cache_tokens: number | undefined;
  readonly saved_tokens: number;
  /** Of all prompt tokens. */
  readonly saved_share: number;
}

export interface CacheWhatIf {
  readonly prompt_tokens: number;
  /** What the engines reported as cached. */
  readonly cached_tokens: number;
  /** Calls whose tokens had to be guessed from their text, at 4 bytes a token. */
  readonly estimated_calls: number;
  /** Of the calls that told their usage (of all where none did): what a cache that never evicts had served. */
  readonly reported: {
    readonly prompt_tokens: number;
    readonly cached_tokens: number;
    readonly ideal_cached_tokens: number;
  };
  readonly savings: readonly CacheSaving[];
}

const BLOCK_BYTES = 64;
const BYTES_PER_TOKEN = 4;
/** What division may take from a whole number of blocks. */
const ROUNDING = 1e-9;
/** Distinct blocks that are told apart: 256 MB of prompts. */
const MAX_BLOCKS = 2 ** 22;

/**
 * Replays all prompts in order of time through a prefix cache with least-recently-used eviction, for every cache
 * size at once: a block of a prompt is served if fewer other blocks were touched since its last use than fit
 * (Mattson's stack distance, counted with a Fenwick tree; O(blocks log blocks)). A block is 64 bytes of a
 * prompt together with all before it and the model; it stands for its share of the call's prompt tokens. Memory
 * is 28 bytes a call and some 50 per distinct block.
 */
export class CacheWhatIfCollector {
  // Per call: start time, last block and how many there are, tokens per block.
  readonly #starts = new Column();
  readonly #lastBlocks = Column.counts();
  readonly #lengths = Column.counts();
  readonly #tokensPerBlock = new Column();
  readonly #told = Column.counts();
  readonly #chains: BlockChains;
  #blocks = 0;
  #blockTokens = 0;
  #isCut = false;
  #promptTokens = 0;
  #cachedTokens = 0;
  #estimated = 0;
  #estimatedTokens = 0;
  #scratch = Buffer.alloc(1 << 16);

  constructor(maxBlocks = MAX_BLOCKS) {
    this.#chains = new BlockChains(maxBlocks);
  }

  /** Whether prompts differed in more blocks than are told apart: what else they share is then not counted. */
  get isCut(): boolean {
    return this.#isCut;
  }

  add(trace: Trace): void {
    const events = byTime(trace.events);
    const usage = new Map(
      events.flatMap((event) => (event.type === 'LLM_END' && event.usage ? [[event.uuid, event.usage]] : [])),
    );
    for (const event of events) {
      if (event.type !== 'LLM_START') continue;
      const text = event.inputText ?? '';
      if (this.#scratch.length < text.length * 3) this.#scratch = Buffer.alloc(text.length * 6);
      const bytes = this.#scratch.write(text, 'utf8');
      const reported = usage.get(event.uuid);
      const tokens = reported?.prompt || Math.ceil(bytes / BYTES_PER_TOKEN);
      this.#told.push(reported?.prompt ? 1 : 0);
      if (!reported?.prompt) {
        this.#estimated++;
        this.#estimatedTokens += tokens;
      }
      this.#promptTokens += tokens;
      this.#cachedTokens += reported?.cached ?? 0;
      this.#starts.push(event.timeS);
      const tokensPerBlock = bytes === 0 ? 0 : (tokens * BLOCK_BYTES) / bytes;
      const blocks = Math.floor(bytes / BLOCK_BYTES);
      this.#tokensPerBlock.push(tokensPerBlock);
      this.#blocks += blocks;
      this.#blockTokens += blocks * tokensPerBlock;
      this.#pushBlocks(event.name, bytes);
    }
  }

  finish(cacheTokens: readonly number[]): CacheWhatIf {
    const order = Uint32Array.from({ length: this.#starts.length }, (_, i) => i);
    order.sort((a, b) => this.#starts.at(a) - this.#starts.at(b));
    const replay = new StackDistances(this.#chains.size + 1);
    const saved = new Float64Array(cacheTokens.length + 1);
    // One size of block in tokens for all, so that a cache holds a number of blocks.
    const blockTokens = this.#blocks === 0 ? 1 : this.#blockTokens / this.#blocks;
    const fitting = cacheTokens.map((tokens) => Math.floor(tokens / blockTokens + ROUNDING));
    let chain = new Uint32Array(1 << 10);
    let [servable, servableTold] = [0, 0];
    for (const call of order) {
      const length = this.#lengths.at(call);
      if (length > chain.length) chain = new Uint32Array(2 * length);
      this.#chains.fill(chain, length, this.#lastBlocks.at(call));
      const tokens = this.#tokensPerBlock.at(call);
      // A cache serves a head of the prompt: the first block it misses ends it.
      let deepest = 0;
      for (let i = 0; i < length; i++) {
        const distance = replay.distance(chain[i]!);
        if (distance === undefined) break;
        deepest = Math.max(deepest, distance);
        for (const [size, blocks] of fitting.entries()) if (deepest < blocks) saved[size]! += tokens;
        servable += tokens;
        if (this.#told.at(call) === 1) servableTold += tokens;
      }
      // The tail first, so that a prefix is never evicted before what builds on it.
      for (let i = length - 1; i >= 0; i--) replay.touch(chain[i]!);
    }
    saved[cacheTokens.length] = servable;
    const noneTold = this.#estimated === this.#starts.length;
    const share = (tokens: number): number => (this.#promptTokens === 0 ? 0 : tokens / this.#promptTokens);
    const row = (tokens: number, i: number): CacheSaving => ({
      cache_tokens: cacheTokens[i],
      saved_tokens: Math.round(tokens),
      saved_share: share(tokens),
    });
    return {
      prompt_tokens: this.#promptTokens,
      cached_tokens: this.#cachedTokens,
      estimated_calls: this.#estimated,
      reported: {
        prompt_tokens: this.#promptTokens - (noneTold ? 0 : this.#estimatedTokens),
        cached_tokens: this.#cachedTokens,
        ideal_cached_tokens: Math.round(noneTold ? servable : servableTold),
      },
      savings: [...saved].map(row),
    };
  }

  /** Two chained 32-bit hashes make a 53-bit key per whole block. */
  #pushBlocks(model: string, bytes: number): void {
    let low = 0x9e3779b9;
    let high = 0x85ebca6b;
    let last = 0;
    let length = 0;
    for (let i = 0; i < model.length; i++) low = mix32(low ^ model.charCodeAt(i));
    for (let at = 0; at + BLOCK_BYTES <= bytes; at += BLOCK_BYTES) {
      for (let i = at; i < at + BLOCK_BYTES; i += 4) {
        const word = this.#scratch.readUInt32LE(i);
        low = Math.imul(low ^ word, 0x01000193);
        high = Math.imul(high ^ word, 0x85ebca77);
        high ^= high >>> 15;
      }
      low = mix32(low ^ high);
      high = mix32(high + 0x27d4eb2f);
      const block = this.#chains.block((high & 0x1fffff) * 2 ** 32 + low, last);
      if (block === 0) {
        this.#isCut = true;
        break;
      }
      last = block;
      length++;
    }
    this.#lastBlocks.push(last);
    this.#lengths.push(length);
  }
}
