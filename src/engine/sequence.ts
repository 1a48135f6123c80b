import type { BlockHasher, PromptHashes } from '../kv/hash.ts';
import { type AnswerTokens, requestKey } from './answer-tokens.ts';
import type { EngineRequest } from './prompt.ts';
import type { RankParts } from './scheduler.ts';

export type SequenceState = 'waiting_for_remote_kv' | 'waiting' | 'running' | 'preempted' | 'finished';

/**
 * A request inside an engine: prompt, then the answer so far. `length` counts both; the newest generated token
 * is dangling, its KV is computed by the next pass. Only its scheduler changes it.
 */
export class Sequence {
  readonly request: EngineRequest;
  readonly id: string;
  readonly promptLength: number;
  readonly maxOutputTokens: number;
  readonly promptBlocks: number;
  state: SequenceState = 'waiting';
  generated = 0;
  /** Tokens whose KV is held, cached prefix included. */
  computed = 0;
  /** Pool slots, in order of position. */
  readonly slots: number[] = [];
  /** Leading blocks that are visible to others. */
  published = 0;
  /** Tokens reused at the first admission; undefined before it. */
  cachedTokens: number | undefined;
  /** Tokens of the cached prefix that come from a lower tier, until it runs. */
  loadedTokens = 0;
  outputsGiven = 0;
  /** Its blocks outlive it, for another engine to fetch. */
  holdsAtEnd = false;
  /** Its prompt was computed elsewhere and is here. */
  handedOver = false;

  // What the pass under way scheduled for it.
  passTokens = 0;
  passComputedBefore = 0;
  passLength = 0;

  /** Hashes of the prompt's full blocks, as (low, high) words of u64s. */
  readonly #promptWords: Uint32Array;
  readonly #key: number;
  readonly #hasher: BlockHasher;
  readonly #blockSize: number;
  readonly #answer: AnswerTokens;
  // Hashes of full blocks beyond the prompt's: [block, local] pairs.
  #answerHashes: BigUint64Array = new BigUint64Array(0);
  #answerBlocks = 0;

  constructor(request: EngineRequest, maxOutputTokens: number, blocks: BlockSource) {
    const hashes = blocks.hashed ? request.prompt.hashes(blocks.hasher, blocks.blockSize) : EMPTY;
    this.request = request;
    this.id = request.id;
    this.promptLength = request.prompt.length;
    this.maxOutputTokens = maxOutputTokens;
    this.promptBlocks = hashes.sequence.length;
    this.#promptWords = words(hashes.sequence);
    this.#key = requestKey(request.id);
    this.#hasher = blocks.hasher;
    this.#blockSize = blocks.blockSize;
    this.#answer = blocks.answer;
  }

  get length(): number {
    return this.promptLength + this.generated;
  }

  /** Token of a position in the answer. */
  answerToken(position: number): number {
    return this.request.plannedTokens?.[position] ?? this.#answer.tokenAt(this.#key, position);
  }

  /** Tokens of the answer, `count` from position `first`. */
  answerTokens(first: number, count: number): Uint32Array {
    const tokens = new Uint32Array(count);
    for (let i = 0; i < count; i++) tokens[i] = this.answerToken(first + i);
    return tokens;
  }

  /** Low half of {@link blockHash}, without a bigint where the block is the prompt's. */
  lowWord(block: number): number {
    if (block < this.promptBlocks) return this.#promptWords[2 * block]!;
    return Number(this.blockHash(block) & 0xffff_ffffn);
  }

  /** High half of {@link blockHash}. */
  highWord(block: number): number {
    if (block < this.promptBlocks) return this.#promptWords[2 * block + 1]!;
    return Number(this.blockHash(block) >> 32n);
  }

  /** Chained hash of a full block, the answer's included. */
  blockHash(block: number): bigint {
    if (block < this.promptBlocks)
      return this.request.prompt.hashes(this.#hasher, this.#blockSize).sequence[block]!;
    this.#hashAnswer(block);
    return this.#answerHashes[2 * (block - this.promptBlocks)]!;
  }

  /** Hashes of blocks `from` to `to` (excluded); of the prompt's blocks they are views, not copies. */
  hashes(from: number, to: number): PromptHashes {
    if (to <= this.promptBlocks) {
      const { local, sequence } = this.request.prompt.hashes(this.#hasher, this.#blockSize);
      return { local: local.subarray(from, to), sequence: sequence.subarray(from, to) };
    }
    const local = new BigUint64Array(to - from);
    const sequence = new BigUint64Array(to - from);
    for (let block = from; block < to; block++) {
      local[block - from] = this.localHash(block);
      sequence[block - from] = this.blockHash(block);
    }
    return { local, sequence };
  }

  localHash(block: number): bigint {
    if (block < this.promptBlocks)
      return this.request.prompt.hashes(this.#hasher, this.#blockSize).local[block]!;
    this.#hashAnswer(block);
    return this.#answerHashes[2 * (block - this.promptBlocks) + 1]!;
  }

  /** Tokens of positions `start` to `end`, which may reach from the prompt into the answer. */
  tokens(start: number, end: number): Uint32Array {
    const { promptLength } = this;
    if (end <= promptLength) return this.request.prompt.tokens(start, end);
    const tokens = new Uint32Array(end - start);
    const split = Math.max(start, promptLength);
    if (split > start) tokens.set(this.request.prompt.tokens(start, split), 0);
    for (let at = split; at < end; at++) tokens[at - start] = this.answerToken(at - promptLength);
    return tokens;
  }

  #hashAnswer(block: number): void {
    while (this.promptBlocks + this.#answerBlocks <= block) {
      const at = this.promptBlocks + this.#answerBlocks;
      const tokens = this.tokens(at * this.#blockSize, (at + 1) * this.#blockSize);
      const { local } = this.#hasher.hashPrompt(tokens, this.#blockSize, this.request.prompt.namespace);
      const chained = this.#hasher.chain(local, at === 0 ? undefined : this.blockHash(at - 1));
      if (this.#answerHashes.length < 2 * this.#answerBlocks + 2) {
        const grown = new BigUint64Array(4 * this.#answerBlocks + 8);
        grown.set(this.#answerHashes);
        this.#answerHashes = grown;
      }
      this.#answerHashes[2 * this.#answerBlocks] = chained[0]!;
      this.#answerHashes[2 * this.#answerBlocks + 1] = local[0]!;
      this.#answerBlocks++;
    }
  }
}

/** How sequences of one rank hash their blocks. */
export interface BlockSource {
  /** False where prefixes are not cached: then nothing is hashed. */
  readonly hashed: boolean;
  readonly hasher: BlockHasher;
  readonly blockSize: number;
  readonly answer: AnswerTokens;
}

export function blockSource({ settings, hasher, answer }: RankParts): BlockSource {
  return { hashed: settings.enablePrefixCaching, hasher, blockSize: settings.blockSize, answer };
}

const EMPTY = { local: new BigUint64Array(0), sequence: new BigUint64Array(0) };

function words(hashes: BigUint64Array): Uint32Array {
  return new Uint32Array(hashes.buffer, hashes.byteOffset, 2 * hashes.length);
}
