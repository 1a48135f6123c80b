import type { EngineRole } from '../formats/openai/model-card.ts';

export const ENGINE_KINDS = ['vllm', 'sglang', 'trtllm', 'kvasir', 'openai'] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

/** One engine that answers requests, with what is known of it; unknown facts are undefined. */
export interface WorkerInstance {
  /** u64 as decimal text. */
  readonly workerId: string;
  /** Base URL of its OpenAI API, without `/v1` and without a trailing slash. */
  readonly url: string;
  /** Names it answers to: the base model first, LoRA adapters not among them. */
  readonly models: readonly string[];
  /** Names of its LoRA adapters, which it answers to as well. */
  readonly loras: readonly string[];
  readonly kind: EngineKind;
  readonly role: EngineRole;
  /** Tokens per KV block. */
  readonly blockSize: number | undefined;
  /** Data-parallel ranks, numbered from 0. */
  readonly dpSize: number;
  /** Address of rank 0's KV event publisher; `bind+` before it asks the consumer to bind. */
  readonly kvEvents: string | undefined;
  readonly replay: string | undefined;
  /** URL that answers with all blocks held now. */
  readonly snapshot: string | undefined;
  /** Per rank. */
  readonly totalKvBlocks: number | undefined;
  readonly maxNumSeqs: number | undefined;
  readonly maxNumBatchedTokens: number | undefined;
  /** Longest prompt and answer together, in tokens. */
  readonly contextLength: number | undefined;
  /** `byte`, or the path of a tokenizer. */
  readonly tokenizer: string | undefined;
  /** Where a prefilling engine meets the decoding ones, by SGLang's protocol. */
  readonly bootstrapPort: number | undefined;
}

/** `removed` carries the instance as it was last known. */
export interface DiscoveryChange {
  readonly kind: 'added' | 'changed' | 'removed';
  readonly instance: WorkerInstance;
}

export type DiscoveryListener = (change: DiscoveryChange) => void;

/** How the looking itself fares, for health. */
export interface DiscoveryStatus {
  readonly kind: string;
  /** Whether changes would be noticed now. */
  readonly ok: boolean;
  /** What it waits for, or what is wrong. */
  readonly detail: string;
}

/** Tells which workers are ready. An instance's id never changes; when facts do, `changed` carries all of them. */
export interface Discovery {
  /** Reports the ready instances as added at once, then every change; returns what ends it. */
  watch(listener: DiscoveryListener): () => void;
  /** A request to this worker failed: look at it now instead of at the next turn. */
  suspect?(workerId: string): void;
  /** A request has nobody left to go to: look now whether those that were gone are back. */
  hurry?(): void;
  status?(): DiscoveryStatus;
  /** Ends all looking; listeners hear no more. */
  stop(): Promise<void>;
}

/** A worker about which nothing but its address is known. */
export function bareInstance(workerId: string, url: string): WorkerInstance {
  return {
    workerId,
    url,
    models: [],
    loras: [],
    kind: 'openai',
    role: 'both',
    blockSize: undefined,
    dpSize: 1,
    kvEvents: undefined,
    replay: undefined,
    snapshot: undefined,
    totalKvBlocks: undefined,
    maxNumSeqs: undefined,
    maxNumBatchedTokens: undefined,
    contextLength: undefined,
    tokenizer: undefined,
    bootstrapPort: undefined,
  };
}
