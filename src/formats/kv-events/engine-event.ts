/** A batch of cache changes as an engine publishes it, whatever its dialect on the wire. */
export interface EngineEventBatch {
  /** Seconds since the Unix epoch at the engine; 0 where the batch does not tell. */
  readonly timestampS: number;
  /** Data-parallel rank, where the engine tells. */
  readonly dpRank: number | undefined;
  readonly events: readonly EngineEvent[];
}

export type EngineEvent = BlockStored | BlockRemoved | AllBlocksCleared;

/**
 * Consecutive full blocks became available; `tokenIds` holds the tokens of all of them in order, of the last
 * ones perhaps too few. No tokens at all (then `blockSize` may be 0) means that blocks known by these hashes are now also on `medium`.
 */
export interface BlockStored {
  readonly kind: 'stored';
  /** The engine's own ids, as u64: byte hashes give their last eight bytes, big-endian. */
  readonly blockHashes: BigUint64Array;
  /** Undefined at the start of a sequence; llm-d-inference-sim writes 0 there. */
  readonly parentHash: bigint | undefined;
  readonly tokenIds: Uint32Array;
  readonly blockSize: number;
  /**
   * Engines that hash pairs of neighbouring tokens (EAGLE) publish the pairs: `tokenIds` then holds the
   * first of each, and this the second of the last.
   */
  readonly lookaheadTokenId?: number;
  readonly loraId?: number;
  readonly loraName?: string;
  /** Storage medium as the engine names it (`GPU`, `CPU`, ...), see `tierOfMedium`. */
  readonly medium?: string;
  /** Per block, what the engine mixed into its hash besides the tokens; integers beyond 2^53 are bigints. */
  readonly extraKeys?: readonly unknown[];
  /** Which of the engine's KV-cache groups; prefixes are found in groups of main attention only. */
  readonly groupIdx?: number;
  readonly kvCacheSpecKind?: string;
  /** Tokens. */
  readonly slidingWindow?: number;
  /** `LOCAL` (as when absent), or `REMOTE`: not held by this worker. */
  readonly locality?: string;
  readonly ownership?: string;
  readonly sessionId?: string;
  readonly cacheSalt?: string;
  /** Per block, the multimodal objects in it, or null. */
  readonly blockMmInfos?: readonly unknown[];
}

export interface BlockRemoved {
  readonly kind: 'removed';
  readonly blockHashes: BigUint64Array;
  readonly medium?: string;
  readonly groupIdx?: number;
  readonly locality?: string;
  readonly ownership?: string;
}

export interface AllBlocksCleared {
  readonly kind: 'cleared';
  readonly ownership?: string;
}
