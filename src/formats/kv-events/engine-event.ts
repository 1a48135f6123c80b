/** A batch of cache changes as an engine publishes it, whatever its dialect on the wire. */
export interface EngineEventBatch {
  /** Seconds since the Unix epoch at the engine. */
  readonly timestampS: number;
  /** Data-parallel rank, where the engine tells. */
  readonly dpRank: number | undefined;
  readonly events: readonly EngineEvent[];
}

export type EngineEvent = BlockStored | BlockRemoved | AllBlocksCleared;

/** Consecutive full blocks became available; `tokenIds` holds the tokens of all of them in order. */
export interface BlockStored {
  readonly kind: 'stored';
  /** The engine's own ids, as u64: byte hashes give their last eight bytes, big-endian. */
  readonly blockHashes: BigUint64Array;
  readonly parentHash: bigint | undefined;
  readonly tokenIds: Uint32Array;
  readonly blockSize: number;
  readonly loraName?: string;
  /** Storage medium as the engine names it (`GPU`, `CPU`, ...). */
  readonly medium?: string;
  /** Per block, what the engine mixed into its hash besides the tokens. */
  readonly extraKeys?: readonly unknown[];
  readonly groupIdx?: number;
  readonly kvCacheSpecKind?: string;
}

export interface BlockRemoved {
  readonly kind: 'removed';
  readonly blockHashes: BigUint64Array;
  readonly medium?: string;
  readonly groupIdx?: number;
}

export interface AllBlocksCleared {
  readonly kind: 'cleared';
}
